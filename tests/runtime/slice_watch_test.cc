// SPDX-License-Identifier: Apache-2.0
#include "runtime/slice_watch.h"

#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/reporter.h"
#include "runtime/runtime.h"

namespace curg {

// Outside of the anonymous namespace, so that their ends are known to be theirs.
std::atomic<bool> g_stop{false};
std::atomic<uint64_t> g_rounds{0};

__attribute__((noinline)) void ComputeUntilStopped() {
  while (!g_stop.load(std::memory_order_relaxed)) g_rounds.fetch_add(1, std::memory_order_relaxed);
}

// In one call, until the other end of the pipe is closed. How often it was interrupted.
__attribute__((noinline)) int SleepInTheKernel(int pipe_end) {
  int interrupted = 0;
  pollfd end = {.fd = pipe_end, .events = POLLIN, .revents = 0};
  while (poll(&end, 1, /*timeout=*/-1) < 0) ++interrupted;  // is not restarted after a signal
  return interrupted;
}

namespace {

using namespace std::chrono_literals;

// Copies what it hears.
class Recorder final : public Reporter {
 public:
  struct Heard {
    uint64_t id = 0;
    std::string name;
    uint64_t spawner_id = 0;
    bool asleep = false;
    std::chrono::nanoseconds held{};
    std::vector<uintptr_t> stack;
  };

  Recorder() { SetReporter(this); }
  ~Recorder() override { SetReporter(nullptr); }

  void OnLongSlice(const LongSliceReport& report) override {
    std::lock_guard lock(lock_);
    heard_.push_back({.id = report.task.id,
                      .name = std::string(report.task.name),
                      .spawner_id = report.task.spawner_id,
                      .asleep = report.asleep,
                      .held = report.held,
                      .stack = {report.task.stack.begin(), report.task.stack.end()}});
  }

  std::vector<Heard> heard() {
    std::lock_guard lock(lock_);
    return heard_;
  }

  // From a plain thread. Until `count` reports are there; the test's own time limit ends it
  // otherwise.
  void Await(size_t count) {
    while (heard().size() < count) std::this_thread::sleep_for(1ms);
  }

 private:
  std::mutex lock_;
  std::vector<Heard> heard_;  // guarded by lock_
};

int64_t ThisThreadsCpuNs() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void ComputeFor(std::chrono::nanoseconds cpu) {
  const int64_t end = ThisThreadsCpuNs() + cpu.count();
  while (ThisThreadsCpuNs() < end) g_rounds.fetch_add(1, std::memory_order_relaxed);
}

// A frame of the function at `entry`, which is short.
bool HasFrameOf(const std::vector<uintptr_t>& stack, void* entry) {
  const auto start = reinterpret_cast<uintptr_t>(entry);
  return std::ranges::any_of(stack, [&](uintptr_t pc) { return start <= pc && pc < start + 400; });
}

class SliceWatchTest : public ::testing::Test {
 protected:
  SliceWatchTest() { g_stop = false; }
};

TEST_F(SliceWatchTest, ReportsATaskThatComputesWithItsStackAtThatMoment) {
  Recorder recorder;
  auto runtime = Runtime::Create({.workers = 2, .long_slice = 25ms}).value();
  auto hog = runtime->Go({.name = "hog"}, ComputeUntilStopped);
  recorder.Await(1);
  g_stop = true;
  const uint64_t id = hog.id();
  hog.Join();
  const auto heard = recorder.heard()[0];
  EXPECT_EQ(heard.id, id);
  EXPECT_EQ(heard.name, "hog");
  EXPECT_EQ(heard.spawner_id, 0u);
  EXPECT_FALSE(heard.asleep);
  EXPECT_GE(heard.held, 25ms);
  EXPECT_TRUE(HasFrameOf(heard.stack, reinterpret_cast<void*>(&ComputeUntilStopped)))
      << ::testing::PrintToString(heard.stack);
}

TEST_F(SliceWatchTest, ReportsASliceOnce) {
  Recorder recorder;
  auto runtime = Runtime::Create({.workers = 1, .long_slice = 5ms}).value();
  auto hog = runtime->Go(ComputeUntilStopped);
  recorder.Await(1);
  std::this_thread::sleep_for(200ms);
  g_stop = true;
  hog.Join();
  EXPECT_EQ(recorder.heard().size(), 1u);
}

TEST_F(SliceWatchTest, ReportsATaskThatSleepsInTheKernelWithoutDisturbingIt) {
  Recorder recorder;
  auto runtime = Runtime::Create({.workers = 1, .long_slice = 25ms}).value();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  auto sleeper = runtime->Go({.name = "sleeper"}, [&] { return SleepInTheKernel(ends[0]); });
  recorder.Await(1);
  close(ends[1]);
  EXPECT_EQ(sleeper.Join(), 0);
  close(ends[0]);
  const auto heard = recorder.heard()[0];
  EXPECT_EQ(heard.name, "sleeper");
  EXPECT_TRUE(heard.asleep);
#ifndef __SANITIZE_THREAD__  // nor address: their nanosleep() has frames that need rbp
#ifndef __SANITIZE_ADDRESS__
  EXPECT_TRUE(HasFrameOf(heard.stack, reinterpret_cast<void*>(&SleepInTheKernel)))
      << ::testing::PrintToString(heard.stack);
#endif
#endif
}

TEST_F(SliceWatchTest, KeepsToItsRate) {
  Recorder recorder;
  auto runtime =
      Runtime::Create({.workers = 1, .long_slice = 2ms, .long_slices_a_minute = 2}).value();
  runtime->Run([] {
    for (int i = 0; i < 6; ++i) {
      ComputeFor(60ms);
      Yield();
    }
  });
  EXPECT_LE(recorder.heard().size(), 2u);
}

TEST_F(SliceWatchTest, DoesNotReportATaskThatYields) {
  Recorder recorder;
  auto runtime = Runtime::Create({.workers = 1, .long_slice = 100ms}).value();
  runtime->Run([] {
    for (int i = 0; i < 300; ++i) {
      ComputeFor(1ms);
      Yield();  // to nobody
    }
  });
  EXPECT_TRUE(recorder.heard().empty());
}

// More threads than CPUs: the slices are long on the clock on the wall, but not by the task's
// doing.
TEST_F(SliceWatchTest, DoesNotBlameATaskForWhatOthersRun) {
  Recorder recorder;
  std::vector<std::thread> others;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i) {
    others.emplace_back(ComputeUntilStopped);
  }
  auto runtime = Runtime::Create({.workers = 1, .long_slice = 60ms}).value();
  runtime->Run([] {
    for (int i = 0; i < 3; ++i) {
      ComputeFor(40ms);
      Yield();
    }
  });
  g_stop = true;
  for (std::thread& other : others) other.join();
  EXPECT_TRUE(recorder.heard().empty());
}

// Unless asked, there is a report only if others waited.
TEST_F(SliceWatchTest, ByDefaultReportsOnlyWhatKeepsOthersWaiting) {
  Recorder recorder;
  // With virtual time no worker comes in place of one that the kernel does not run, as if work had
  // waited.
  curg::Run({.workers = 1, .virtual_time = true}, [] { ComputeFor(150ms); });
  EXPECT_TRUE(recorder.heard().empty());
  auto runtime = Runtime::Create({.workers = 1}).value();
  auto hog = runtime->Go({.name = "hog"}, ComputeUntilStopped);
  auto waits = runtime->Go([] {});
  recorder.Await(1);
  g_stop = true;
  hog.Join();
  waits.Join();
  EXPECT_EQ(recorder.heard()[0].name, "hog");
}

TEST_F(SliceWatchTest, CanBeSwitchedOff) {
  Recorder recorder;
  auto runtime = Runtime::Create({.workers = 1, .long_slice = 0ms}).value();
  runtime->Run([] { ComputeFor(100ms); });
  EXPECT_TRUE(recorder.heard().empty());
}

TEST_F(SliceWatchTest, RefusesThresholdsThatItCannotKeep) {
  EXPECT_EQ(Runtime::Create({.workers = 1, .long_slice = -1ms}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Runtime::Create({.workers = 1, .long_slice = 10us}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(SliceWatchTest, TheEnvironmentHasASay) {
  setenv("CURG_LONG_SLICE_MS", "soon", 1);
  EXPECT_EQ(Runtime::Create({.workers = 1}).status().code(), absl::StatusCode::kInvalidArgument);
  setenv("CURG_LONG_SLICE_MS", "0", 1);
  Recorder recorder;
  auto runtime = Runtime::Create({.workers = 1}).value();
  runtime->Run([] { ComputeFor(100ms); });
  unsetenv("CURG_LONG_SLICE_MS");
  EXPECT_TRUE(recorder.heard().empty());
}

// A signal of the number we use that comes from elsewhere is the program's.
std::atomic<int> g_urgent{0};

TEST_F(SliceWatchTest, LeavesOtherUrgentSignalsToTheProgram) {
  // Before the first question in this process: the tests above may have asked already.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        signal(SIGURG, [](int) { g_urgent.fetch_add(1); });
        Recorder recorder;
        auto runtime = Runtime::Create({.workers = 1, .long_slice = 5ms}).value();
        auto hog = runtime->Go(ComputeUntilStopped);
        recorder.Await(1);
        raise(SIGURG);
        g_stop = true;
        hog.Join();
        std::_Exit(g_urgent == 1 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace curg
