// SPDX-License-Identifier: Apache-2.0
//
// What a call of Blocking promises: others run meanwhile, everything of the task's stays, limits
// reach it.
#include "runtime/blocking.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <latch>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "labels/labels.h"
#include "runtime/go.h"
#include "runtime/stats.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/wait_group.h"
#include "runtime/task.h"
#include "runtime/task_local.h"
#include "runtime/thread_state.h"
#include "runtime/traceback.h"
#include "runtime/unwind_table.h"
#include "tests/runtime/eventually.h"

namespace curg {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

void SleepThread(milliseconds duration) { std::this_thread::sleep_for(duration); }

TEST(Blocking, GivesValuesReferencesAndExceptions) {
  curg::Run({.workers = 1}, [] {
    EXPECT_EQ(Blocking([] { return 7; }), 7);
    int place = 0;
    EXPECT_EQ(&Blocking([&]() -> int& { return place; }), &place);
    EXPECT_EQ(*Blocking([] { return std::make_unique<int>(3); }), 3);
    Blocking([&] { place = 1; });
    EXPECT_EQ(place, 1);
    EXPECT_THROW(Blocking([] { throw std::runtime_error("no"); }), std::runtime_error);
  });
  EXPECT_EQ(Blocking([] { return 8; }), 8);  // on a plain thread
}

TEST(Blocking, LetsOthersRunOnTheOnlyWorker) {
  curg::Run({.workers = 1}, [] {
    std::atomic<bool> ran{false};
    auto other = Go([&] { ran = true; });
    Blocking([&] { EXPECT_TRUE(Eventually([&] { return ran.load(); })); });
    other.Join();
  });
}

// What comes later finds the worker in Blocking, with nothing queued when it began.
TEST(Blocking, LetsTasksFromOutsideRun) {
  auto runtime = Runtime::Create({.workers = 1}).value();
  std::atomic<bool> inside{false}, leave{false};
  auto blocker = runtime->Go([&] {
    Blocking([&] {
      inside = true;
      while (!leave) SleepThread(milliseconds(1));
    });
  });
  EXPECT_TRUE(Eventually([&] { return inside.load(); }));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(runtime->Go([i] { return i; }).Join(), i);
    SleepThread(milliseconds(i));
  }
  leave = true;
  blocker.Join();
}

TEST(Blocking, LetsTimersFire) {
  curg::Run({.workers = 1}, [] {
    std::atomic<bool> woke{false};
    auto sleeper = Go([&] {
      SleepFor(milliseconds(2));
      woke = true;
    });
    Yield();
    Blocking([&] { EXPECT_TRUE(Eventually([&] { return woke.load(); })); });
    sleeper.Join();
  });
}

TEST(Blocking, WhatIsInsideMayStartWakeAndWait) {
  curg::Run({.workers = 1}, [] {
    Channel<int> numbers;
    Mutex mutex;
    auto receiver = Go([&] { return numbers.Receive().value(); });
    Yield();
    Blocking([&] {
      numbers.Send(5);                            // wakes a task
      EXPECT_EQ(Go([] { return 1; }).Join(), 1);  // starts one, and waits for it
      const std::lock_guard lock(mutex);
      SleepFor(milliseconds(2));
      Yield();
      EXPECT_EQ(Blocking([] { return 2; }), 2);  // nested
    });
    EXPECT_EQ(receiver.Join(), 5);
  });
}

TEST(Blocking, KeepsTheTaskWhatItIs) {
  curg::Run({.workers = 2}, [] {
    static TaskLocal<int> local;
    auto task = Go({.name = "keeper"}, [] {
      ScopedLabels labels({{"phase", "load"}});
      local.Get() = 4;
      const uint64_t id = CurrentTaskId();
      for (int i = 0; i < 50; ++i) {
        Blocking([&] {
          EXPECT_EQ(CurrentTaskId(), id);
          EXPECT_EQ(CurrentTaskName(), "keeper");
          EXPECT_EQ(CurrentLabels().Get("phase"), "load");
          EXPECT_EQ(local.Get(), 4);
          // Inherited by what is started inside.
          Go([] { EXPECT_EQ(CurrentLabels().Get("phase"), "load"); }).Join();
          SetLabels(CurrentLabels().With({{"step", std::to_string(i)}}));
        });
        EXPECT_EQ(CurrentLabels().Get("step"), std::to_string(i));
        EXPECT_EQ(CurrentTaskId(), id);
      }
    });
    task.Join();
  });
}

// Never inlined: the compiler takes a thread's errno to stay where it is in a function.
__attribute__((noinline)) void ExpectErrno(int value) { EXPECT_EQ(errno, value); }

TEST(Blocking, BringsErrnoAlong) {
  curg::Run({.workers = 1}, [] {
    std::vector<JoinHandle<void>> tasks;
    for (int i = 1; i <= 20; ++i) {
      tasks.push_back(Go([i] {
        for (int j = 0; j < 50; ++j) {
          Blocking([&] {
            if (j % 2 == 0) usleep(50);
            errno = i;
          });
          ExpectErrno(i);
        }
      }));
    }
    for (auto& task : tasks) task.Join();
  });
}

// Exceptions that are being handled belong to the task, wherever it goes.
TEST(Blocking, KeepsExceptionsInFlight) {
  curg::Run({.workers = 1}, [] {
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(Go([i] {
        try {
          Blocking([&] {
            usleep(100);
            throw std::runtime_error(std::to_string(i));
          });
        } catch (const std::runtime_error&) {
          Blocking([] { usleep(200); });
          try {
            throw;
          } catch (const std::runtime_error& again) {
            EXPECT_EQ(again.what(), std::to_string(i));
          }
        }
      }));
    }
    for (auto& task : tasks) task.Join();
  });
}

TEST(Blocking, HasABoundThatIsSeen) {
  auto runtime = Runtime::Create({.workers = 1, .blocking_max = 3}).value();
  std::atomic<int> inside{0};
  std::atomic<bool> leave{false};
  std::vector<JoinHandle<void>> tasks;
  for (int i = 0; i < 8; ++i) {
    tasks.push_back(runtime->Go([&] {
      Blocking([&] {
        ++inside;
        while (!leave) SleepThread(milliseconds(1));
        --inside;
      });
    }));
  }
  EXPECT_TRUE(Eventually([&] {
    const RuntimeStats stats = runtime->Stats();
    return inside == 3 && stats.workers_blocking == 3 && stats.tasks_running == 0 &&
           stats.tasks_parked == 5;
  }));
  SleepThread(milliseconds(20));
  const RuntimeStats stats = runtime->Stats();
  EXPECT_EQ(inside, 3);
  EXPECT_EQ(stats.workers_blocking, 3);
  EXPECT_EQ(stats.tasks_blocking, 3);
  EXPECT_EQ(stats.blocking_max, 3);
  EXPECT_EQ(stats.blocking_queue, 5);
  EXPECT_EQ(stats.tasks_running, 0);
  EXPECT_EQ(stats.tasks_parked, 5);
  EXPECT_EQ(runtime->Go([] { return 6; }).Join(), 6);  // the processor is not among what is used up
  leave = true;
  for (auto& task : tasks) task.Join();
  EXPECT_TRUE(Eventually([&] { return runtime->Stats().tasks_blocking == 0; }));
  EXPECT_EQ(runtime->Stats().blocking_queue, 0);
}

// Short and long ones from all workers at once: never one more, and the bound is used.
TEST(Blocking, TheBoundIsHard) {
  constexpr int kMax = 2;
  auto runtime = Runtime::Create({.workers = 4, .blocking_max = kMax}).value();
  std::atomic<int> inside{0}, most{0};
  std::vector<JoinHandle<void>> tasks;
  for (int i = 0; i < 40; ++i) {
    tasks.push_back(runtime->Go([&, i] {
      for (int j = 0; j < 20; ++j) {
        Blocking([&] {
          const int now = ++inside;
          for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
          }
          if ((i + j) % 8 == 0) SleepThread(milliseconds(1));
          EXPECT_TRUE(Eventually([&] { return most >= kMax; }));  // the first one waits
          --inside;
        });
      }
    }));
  }
  for (auto& task : tasks) task.Join();
  EXPECT_EQ(most, kMax);
}

// Calls at the bound keep no processor, and so no timer waits for them.
TEST(Blocking, TimersFireWhileTheBoundIsReached) {
  auto runtime = Runtime::Create({.workers = 2, .blocking_max = 2}).value();
  std::atomic<int> ticks{0};
  std::atomic<bool> end{false};
  std::vector<JoinHandle<void>> tasks;
  for (int i = 0; i < 2; ++i) {
    tasks.push_back(runtime->Go([&] {
      while (!end) {
        SleepFor(milliseconds(1));
        ++ticks;
      }
    }));
  }
  for (int i = 0; i < 6; ++i) {
    tasks.push_back(runtime->Go([&] {
      Blocking([&] {
        const int before = ticks;
        EXPECT_TRUE(Eventually([&] { return ticks > before + 10; }));
      });
    }));
  }
  for (size_t i = 2; i < tasks.size(); ++i) tasks[i].Join();
  end = true;
  for (size_t i = 0; i < 2; ++i) tasks[i].Join();
}

TEST(Blocking, WhatHasNotStartedIsDroppedWhatRunsIsTold) {
  auto runtime = Runtime::Create({.workers = 1, .blocking_max = 1}).value();
  std::stop_source stop;
  std::atomic<bool> inside{false}, called{false};
  auto first = runtime->Go([&] {
    return Blocking(stop.get_token(), [&](const std::stop_token& told) {
      inside = true;
      while (!told.stop_requested()) SleepThread(milliseconds(1));
      return 1;
    });
  });
  EXPECT_TRUE(Eventually([&] { return inside.load() && runtime->Stats().workers_blocking == 1; }));
  auto second = runtime->Go([&] {
    return Blocking(stop.get_token(), [&] {
      called = true;
      return 2;
    });
  });
  auto third = runtime->Go(
      [&] { return BlockingUntil(Deadline::After(milliseconds(5)), [&] { called = true; }); });
  EXPECT_EQ(third.Join().status, WaitStatus::kTimeout);
  EXPECT_TRUE(Eventually([&] { return runtime->Stats().blocking_queue == 1; }));
  stop.request_stop();
  EXPECT_EQ(second.Join().status, WaitStatus::kCancelled);
  EXPECT_FALSE(called);
  auto joined = first.Join();
  EXPECT_EQ(joined.status, WaitStatus::kOk);
  EXPECT_EQ(joined.value, 1);
  // Both are usable still.
  EXPECT_EQ(runtime->Run([] { return Blocking([] { return 3; }); }), 3);
}

TEST(Blocking, DeadlineTellsWhatRuns) {
  const auto work = [] {
    Joined<std::string> result;
    // Longer, if that was over before the call began.
    for (milliseconds limit(10); !result && limit < std::chrono::seconds(10); limit *= 4) {
      const auto start = steady_clock::now();
      result = BlockingUntil(Deadline::After(limit), [](const std::stop_token& told) {
        while (!told.stop_requested()) SleepThread(milliseconds(1));
        return std::string("told");
      });
      EXPECT_GE(steady_clock::now() - start, limit);
    }
    EXPECT_EQ(result.value, "told");
    EXPECT_EQ(BlockingUntil(Deadline::After(milliseconds(-1)), [] {}).status, WaitStatus::kTimeout);
  };
  curg::Run({.workers = 1}, work);
  work();
}

TEST(Blocking, SparesComeAndGo) {
  auto runtime = Runtime::Create({.workers = 1}).value();
  runtime->Run([] {
    std::latch all(10);
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 10; ++i)
      tasks.push_back(Go([&] { Blocking([&] { all.arrive_and_wait(); }); }));
    for (auto& task : tasks) task.Join();
  });
  EXPECT_GE(runtime->Stats().threads, 10);
  // One for each processor stays: a worker that the kernel did not run for a while looked held, and
  // left another one at rest.
  EXPECT_TRUE(Eventually([&] {
    const RuntimeStats stats = runtime->Stats();
    return stats.threads == stats.run_queues.size();
  }));
  EXPECT_EQ(runtime->Go([] { return Blocking([] { return 1; }); }).Join(), 1);
}

TEST(Blocking, CountsAsSomethingThatCanWake) {
  // All others wait for what the one in Blocking will do: no deadlock.
  curg::Run({.workers = 1, .deadlock = DeadlockAction::kFatal}, [] {
    Channel<int> numbers;
    auto sender = Go([&] {
      Blocking([] { SleepThread(milliseconds(100)); });
      numbers.Send(1);
    });
    EXPECT_EQ(numbers.Receive(), 1);
    sender.Join();
  });
}

TEST(Blocking, IsNoLongSlice) {
  testing::internal::CaptureStderr();
  curg::Run({.workers = 1, .long_slice = milliseconds(5)},
            [] { Blocking([] { SleepThread(milliseconds(60)); }); });
  EXPECT_EQ(testing::internal::GetCapturedStderr().find("kept its worker"), std::string::npos);
}

// A dump sees the state, and the stack from where the call began.
TEST(Blocking, ShowsWhereItIs) {
  ASSERT_TRUE(internal::RefreshUnwindTables().ok());
  auto runtime = Runtime::Create({.workers = 1}).value();
  std::atomic<internal::Task*> task{nullptr};
  std::atomic<bool> leave{false};
  auto blocker = runtime->Go([&] {
    Blocking([&] {
      task = internal::CurrentTask();
      while (!leave) SleepThread(milliseconds(1));
    });
    EXPECT_EQ(internal::CurrentTask()->state.load(), internal::TaskState::kRunning);
  });
  while (task.load() == nullptr) SleepThread(milliseconds(1));
  EXPECT_EQ(task.load()->state.load(), internal::TaskState::kBlocking);
  uintptr_t pcs[64];
  const internal::Traceback walk =
      internal::WalkStack(*task.load()->blocking_at, task.load()->context.stack(), pcs);
  EXPECT_EQ(walk.end, internal::TracebackEnd::kRoot);
  EXPECT_GE(walk.depth, 2);
  leave = true;
  blocker.Join();
}

}  // namespace
}  // namespace curg
