// SPDX-License-Identifier: Apache-2.0
#include "export/task_dump.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include "export/reports.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/context.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"
#include "tests/profiler/await_parked.h"

namespace curg {
namespace {

using namespace std::chrono_literals;
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;
using ::testing::KilledBySignal;

class TaskDumpTest : public ::testing::Test {
 protected:
  TaskDumpTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

void RunWithAReader(void (*then)()) {
  curg::Run({.workers = 2}, [&] {
    static auto* const never = new Channel<int>;
    Go({.name = "reader"}, [] { never->Receive(); }).Detach();
    AwaitParked(1, "reader");
    then();
  });
}

// What `fd` has up to the end of the line that contains `last`. Blocks until that is there: the
// first dump reads symbols, which takes as long as it takes.
std::string ReadUntilLineWith(std::string_view last, int fd) {
  std::string text;
  for (char c; read(fd, &c, 1) == 1;) {
    text += c;
    if (c == '\n' && text.find(last) != text.npos) break;
  }
  return text;
}

TEST_F(TaskDumpTest, ASignalMakesOneAndTheProgramGoesOn) {
  EXPECT_EXIT(
      {
        if (!InstallTaskDumpSignal().ok()) std::exit(1);
        RunWithAReader([] {
          int ends[2];
          const int shown = dup(STDERR_FILENO);
          if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) std::_Exit(2);
          raise(SIGQUIT);  // the thread sanitizer would keep it from another thread that waits
          const std::string dump = ReadUntilLineWith("spawned by task 1 at ", ends[0]);
          std::_Exit(write(shown, dump.data(), dump.size()) > 0 ? 7 : 3);
        });
      },
      ExitedWithCode(7),
      "task profile of .*: 2 tasks\n(.|\n)*task 2 \"reader\" \\[channel receive on 0x[0-9a-f]+, "
      ".*\\]:\n"
      "(.|\n)*spawned by task 1 at .*RunWithAReader");
}

TEST_F(TaskDumpTest, ASignalThatIsInUseIsRefused) {
  signal(SIGUSR2, SIG_IGN);
  EXPECT_EQ(InstallTaskDumpSignal(SIGUSR2).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(InstallTaskDumpSignal(SIGKILL).code(), absl::StatusCode::kInvalidArgument);
}

#if !defined(CURG_ASAN) && !defined(CURG_TSAN)  // whose handlers say it in their own way
TEST_F(TaskDumpTest, AnAbortShowsItsTaskThenTheOthers) {
  EXPECT_EXIT(
      {
        InstallReports();
        RunWithAReader([] { std::abort(); });
      },
      KilledBySignal(SIGABRT),
      "abort in task 1 \"main\"(.|\n)*spawned by a plain thread(.|\n)*1 task \\[channel receive");
}
#endif

TEST_F(TaskDumpTest, LeakedTasksAreTold) {
  EXPECT_EQ(ReportLeakedTasks(), 0);
  EXPECT_EXIT(RunWithAReader([] { std::_Exit(static_cast<int>(ReportLeakedTasks())); }),
              ExitedWithCode(2), "2 tasks are still alive(.|\n)*\"reader\" \\[channel receive on");
}

TEST_F(TaskDumpTest, OfTasksThatHaveBeenParkedForLong) {
  EXPECT_EXIT(RunWithAReader([] {
                if (DumpTasksParkedFor(1h) != 0) std::_Exit(1);
                SleepFor(100ms);
                int64_t found = 0;
                // A machine that stands still for a while makes the other one old, too.
                for (int i = 0; i < 20 && found != 1; ++i) {
                  Channel<int> end;
                  auto recent = Go({.name = "recent"}, [&] { end.Receive(); });
                  AwaitParked(1, "recent");
                  found = DumpTasksParkedFor(80ms);
                  end.Send(0);
                  recent.Join();
                }
                std::_Exit(10 + static_cast<int>(found));
              }),
              ExitedWithCode(11),
              "3 tasks, 1 of them match\n\ntask 2 \"reader\" (.|\n)*spawned by task 1 at ");
}

TEST_F(TaskDumpTest, LeakedTasksAreToldWithNamesWhenTheRuntimeEnds) {
  EXPECT_EXIT(
      {
        InstallReports();
        curg::Run({.workers = 2, .report_abandoned = true}, [] {
          static auto* const never = new Channel<int>;
          Go({.name = "reader"}, [] { never->Receive(); }).Detach();
          AwaitParked(1, "reader");
        });
        std::_Exit(7);
      },
      ExitedWithCode(7),
      "ends with 1 task that has not ended:\ntask 2 \"reader\" \\[channel receive\\]:\n"
      "(.|\n)*spawned by task 1 at .*task_dump_test.cc:");
}

TEST_F(TaskDumpTest, OfATestIntoItsFolder) {
  const std::string folder = ::testing::TempDir();
  RunWithAReader([] {
    std::thread thread([] { DumpTasksOfTest(::testing::TempDir()); });
    thread.join();
  });
  std::ostringstream text;
  text << std::ifstream(folder + "/tasks.txt").rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("\"reader\" [channel receive on"));
  EXPECT_TRUE(std::ifstream(folder + "/tasks.jsonl").good());
  EXPECT_TRUE(std::ifstream(folder + "/tasks.pb.gz").good());
}

}  // namespace
}  // namespace curg
