// SPDX-License-Identifier: Apache-2.0
//
// How runtimes begin and end: the choices of a shutdown, several of them, inside a library, forks,
// refused threads.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/blocking.h"
#include "runtime/context.h"
#include "runtime/delayed_task.h"
#include "runtime/go.h"
#include "runtime/runtime.h"
#include "runtime/sync/channel.h"

namespace curg {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

std::unique_ptr<Runtime> Make(int workers = 2) {
  return Runtime::Create({.workers = workers}).value();
}

// Waits until tasks have parked so many times, and none runs.
void AwaitParks(const Runtime& runtime, uint64_t parks) {
  for (RuntimeStats stats; stats.parks < parks || stats.tasks_running > 0;) {
    std::this_thread::yield();
    stats = runtime.Stats();
  }
}

TEST(Shutdown, WaitsForAll) {
  auto runtime = Make();
  std::atomic<int> ended{0};
  for (int i = 0; i < 10; ++i) {
    runtime
        ->Go([&ended, i] {
          SleepFor(milliseconds(i));
          Blocking([i] { std::this_thread::sleep_for(milliseconds(i)); });
          Go([&ended] {
            Yield();
            ++ended;
          }).Detach();
        })
        .Detach();
  }
  const ShutdownReport report = runtime->Shutdown();
  EXPECT_EQ(report.abandoned, 0);
  EXPECT_EQ(ended, 10);
  EXPECT_EQ(runtime->TryGo({}, [] {}).status().code(), absl::StatusCode::kFailedPrecondition);
}

// Parked, sleeping, in Blocking: whoever listens to the token ends.
TEST(Shutdown, CancelsAfterTheDeadline) {
  auto runtime = Make();
  Channel<int> nothing;
  std::atomic<int> cancelled{0};
  std::atomic<bool> inside{false};
  runtime
      ->Go([&] {
        cancelled += nothing.Receive(RuntimeStopToken()).status == WaitStatus::kCancelled;
      })
      .Detach();
  runtime->Go([&] { cancelled += !SleepFor(hours(1), RuntimeStopToken()); }).Detach();
  runtime
      ->Go([&] {
        cancelled += Blocking(RuntimeStopToken(), [&](const std::stop_token& stop) {
                       inside = true;
                       while (!stop.stop_requested()) std::this_thread::sleep_for(milliseconds(1));
                       return 1;
                     }).value.value_or(0);
      })
      .Detach();
  EXPECT_FALSE(runtime->stop_token().stop_requested());
  while (!inside) std::this_thread::yield();
  AwaitParks(*runtime, 2);
  const auto start = steady_clock::now();
  const ShutdownReport report = runtime->Shutdown(Deadline::After(milliseconds(20)), seconds(60));
  EXPECT_GE(steady_clock::now() - start, milliseconds(20));
  EXPECT_EQ(report.abandoned, 0);
  EXPECT_EQ(cancelled, 3);
  EXPECT_FALSE(RuntimeStopToken().stop_possible());
}

TEST(Shutdown, AbandonsAndTells) {
  auto runtime = Make();
  auto nothing = std::make_unique<Channel<int>>();
  runtime->Go({.name = "sleeper"}, [] { SleepFor(hours(1)); }).Detach();
  runtime->Go({.name = "receiver"}, [&] { nothing->Receive(); }).Detach();
  auto later = GoAfter(*runtime, hours(1), {.name = "later"}, [] {});
  AwaitParks(*runtime, 2);
  testing::internal::CaptureStderr();
  const ShutdownReport report =
      runtime->Shutdown(Deadline::After(milliseconds(0)), milliseconds(0));
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_EQ(report.abandoned, 3);
  EXPECT_EQ(report.workers_held, 0);
  EXPECT_NE(told.find("\"sleeper\" [sleep]"), std::string::npos) << told;
  EXPECT_NE(told.find("\"receiver\" [channel receive]"), std::string::npos) << told;
  EXPECT_NE(told.find("\"later\" [not started]"), std::string::npos) << told;
  EXPECT_NE(told.find("spawned by a plain thread at 0x"), std::string::npos) << told;
  (void)nothing.release();  // the abandoned task is in its queue
}

TEST(Lifecycle, TellsOfAbandonedTasksWhenAsked) {
  static auto* const nothing = new Channel<int>;  // has waiters for ever
  const auto run = [](bool report) {
    testing::internal::CaptureStderr();
    {
      auto runtime = Runtime::Create({.workers = 2, .report_abandoned = report}).value();
      runtime->Run([] {
        for (int i = 0; i < 3; ++i) Go({.name = "leak"}, [] { nothing->Receive(); }).Detach();
      });
      AwaitParks(*runtime, 3);
    }
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(run(false), "");
  const std::string told = run(true);
  EXPECT_NE(told.find("the runtime ends with 3 tasks that have not ended:\n"), std::string::npos)
      << told;
  EXPECT_NE(told.find("\"leak\", and alike "), std::string::npos) << told;
  EXPECT_NE(told.find("[channel receive]:\n    0x"), std::string::npos) << told;
  EXPECT_NE(told.find("  spawned by task "), std::string::npos) << told;
}

TEST(Shutdown, LeavesWorkersBehindThatDoNotComeBack) {
  static std::atomic<bool> leave{false};
  auto runtime = Make();
  std::atomic<bool> inside{false};
  runtime
      ->Go({.name = "stuck"},
           [&] {
             Blocking([&] {
               inside = true;
               while (!leave) std::this_thread::sleep_for(milliseconds(1));
             });
           })
      .Detach();
  while (!inside) std::this_thread::yield();
  testing::internal::CaptureStderr();
  const ShutdownReport report =
      runtime->Shutdown(Deadline::After(milliseconds(0)), milliseconds(0));
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_EQ(report.workers_held, 1);
  EXPECT_EQ(report.abandoned, 1);
  EXPECT_NE(told.find("\"stuck\" [in Blocking]"), std::string::npos) << told;
  runtime.reset();
  leave = true;  // and it ends in peace
  std::this_thread::sleep_for(milliseconds(20));
}

TEST(Lifecycle, OneAfterTheOtherAndSideBySide) {
  for (int i = 0; i < 20; ++i) {
    auto first = Make(1);
    auto second = Make(2);
    Channel<int> between;  // tasks of both meet in it
    auto sender = first->Go([&] {
      for (int j = 0; j < 20; ++j) between.Send(j);
      between.Close();
    });
    auto receiver = second->Go([&] {
      int sum = 0;
      while (auto number = between.Receive()) sum += Blocking([&] { return *number; });
      return sum;
    });
    EXPECT_EQ(receiver.Join(), 190);
    sender.Join();
  }
}

// A library's own runtime, used by plain threads that know nothing of tasks, and from another
// runtime's tasks.
class Library {
 public:
  int Square(int number) {
    return runtime_->Run([number] {
      Yield();
      return number * number;
    });
  }

 private:
  std::unique_ptr<Runtime> runtime_ = Make(1);
};

TEST(Lifecycle, InsideALibrary) {
  Library library;
  std::vector<std::thread> threads;
  std::atomic<int> sum{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 100; ++j) sum += library.Square(i);
    });
  }
  curg::Run([&] { EXPECT_EQ(library.Square(5), 25); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(sum, 100 * (0 + 1 + 4 + 9));
}

#ifndef CURG_TSAN  // which ends a child that goes on

int Wait(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(Fork, AChildThatExecsWorks) {
  auto runtime = Make();
  const int status = runtime->Run([] {
    const pid_t child = fork();
    if (child == 0) {
      execl("/bin/sh", "sh", "-c", "exit 7", nullptr);
      _exit(1);
    }
    return Blocking([child] { return Wait(child); });
  });
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(Fork, AChildThatGoesOnGetsClearErrors) {
  auto runtime = Make();
  const auto in_child = [&](auto what) {
    return runtime->Run([&] {
      const pid_t child = fork();
      if (child == 0) _exit(what() ? 0 : 1);
      return Blocking([child] { return Wait(child); });
    });
  };
  const auto refused = [](const auto& result) {
    return result.status().code() == absl::StatusCode::kFailedPrecondition &&
           result.status().message().find("forked") != absl::string_view::npos;
  };
  EXPECT_EQ(in_child([&] { return refused(TryGo({}, [] {})); }), 0);
  EXPECT_EQ(in_child([&] { return refused(runtime->TryGo({}, [] {})); }), 0);
  EXPECT_EQ(in_child([&] { return refused(Runtime::Create()); }), 0);
  EXPECT_EQ(in_child([&] { return Blocking([] { return true; }); }), 0);
  EXPECT_EQ(in_child([&] {
              runtime.reset();
              return true;
            }),
            0);
  // What would wait for ever ends the child instead.
  Channel<int> nothing;
  EXPECT_EQ(WTERMSIG(in_child([&] { return nothing.Receive().has_value(); })), SIGABRT);
}

TEST(ForkDeathTest, AChildThatReturnsFromATaskIsTold) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto go_on = [] {
    const int status = curg::Run([] {
      const pid_t child = fork();
      return child == 0 ? 0 : Wait(child);
    });
    if (WIFSIGNALED(status)) abort();  // after the child has spoken
  };
  EXPECT_DEATH(go_on(), "returns from a task");
}

#endif

#if !defined(CURG_TSAN) && !defined(CURG_ASAN)  // which need address space without end

size_t AddressSpace() {
  std::ifstream statm("/proc/self/statm");
  size_t pages;
  statm >> pages;
  return pages * static_cast<size_t>(getpagesize());
}

// The system refuses threads: calls of Blocking keep their workers, and everything goes on when
// they are back.
TEST(Exhausted, ThreadsForBlocking) {
  auto runtime = Make(1);
  runtime->Run([] {});
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  const rlimit tight = {.rlim_cur = AddressSpace() + (size_t{1} << 20),
                        .rlim_max = before.rlim_max};
  std::vector<JoinHandle<void>> tasks;
  std::atomic<int> done{0};
  for (int i = 0; i < 5; ++i) {
    tasks.push_back(runtime->Go([&] {
      SleepFor(milliseconds(5));
      Blocking([] { std::this_thread::sleep_for(milliseconds(20)); });
      ++done;
    }));
  }
  ASSERT_EQ(setrlimit(RLIMIT_AS, &tight), 0);
  for (auto& task : tasks) task.Join();
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_EQ(done, 5);
  // The resource is back: they overlap again.
  runtime->Run([] {
    std::atomic<int> inside{0};
    std::vector<JoinHandle<void>> again;
    for (int i = 0; i < 3; ++i) {
      again.push_back(Go([&] {
        Blocking([&] {
          ++inside;
          while (inside < 3) std::this_thread::sleep_for(milliseconds(1));
        });
      }));
    }
    for (auto& task : again) task.Join();
  });
}

#endif

}  // namespace
}  // namespace curg
