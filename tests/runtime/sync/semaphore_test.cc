// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/semaphore.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "tests/runtime/sync/sync_probe.h"

namespace curg {
namespace {

using namespace std::chrono_literals;

class SemaphoreTest : public testing::TestWithParam<int> {
 protected:
  template <typename Fn>
  void Run(Fn&& fn) {
    curg::Run({.workers = GetParam()}, std::forward<Fn>(fn));
  }
};

INSTANTIATE_TEST_SUITE_P(Workers, SemaphoreTest, testing::Values(1, 4),
                         [](const auto& info) { return std::to_string(info.param); });

TEST_P(SemaphoreTest, NeverMoreThanItsPermitsAreInside) {
  Run([] {
    Semaphore slots(3);
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(Go([&] {
        for (int round = 0; round < 20; ++round) {
          slots.Acquire();
          const int now = ++inside;
          for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
          }
          Yield();
          --inside;
          slots.Release();
        }
      }));
    }
    for (JoinHandle<void>& task : tasks) task.Join();
    EXPECT_LE(most, 3);
    EXPECT_EQ(slots.available(), 3);
  });
}

TEST_P(SemaphoreTest, OneWhoWantsManyIsNotOvertaken) {
  Run([] {
    Semaphore slots(2);
    slots.Acquire(2);
    JoinHandle<void> many = Go([&] { slots.Acquire(3); });
    AwaitWaiters(slots, 1);
    JoinHandle<void> few = Go([&] { slots.Acquire(1); });
    AwaitWaiters(slots, 2);
    slots.Release(2);
    EXPECT_FALSE(slots.TryAcquire());
    Yield();
    EXPECT_FALSE(few.done());
    slots.Release(1);
    many.Join();
    EXPECT_FALSE(few.done());
    slots.Release(1);
    few.Join();
    EXPECT_EQ(slots.available(), 0);
  });
}

TEST_P(SemaphoreTest, WhoGivesUpLetsThoseBehindIn) {
  Run([] {
    Semaphore slots(1);
    std::stop_source stop;
    JoinHandle<WaitStatus> many = Go([&] { return slots.Acquire(5, stop.get_token()); });
    AwaitWaiters(slots, 1);
    JoinHandle<void> few = Go([&] { slots.Acquire(1); });
    AwaitWaiters(slots, 2);
    stop.request_stop();
    EXPECT_EQ(many.Join(), WaitStatus::kCancelled);
    few.Join();
    EXPECT_EQ(slots.AcquireUntil(1, Deadline::After(2ms)), WaitStatus::kTimeout);
    slots.Release();
    EXPECT_EQ(slots.AcquireUntil(1, Deadline::After(1min)), WaitStatus::kOk);
  });
}

TEST_P(SemaphoreTest, AbsurdCountsThrow) {
  Run([] {
    EXPECT_THROW(Semaphore(-1), std::invalid_argument);
    Semaphore slots(1);
    EXPECT_THROW(slots.Acquire(-1), std::invalid_argument);
    EXPECT_THROW(slots.Release(-1), std::invalid_argument);
    EXPECT_THROW(slots.Release(int64_t{1} << 62), std::overflow_error);
    EXPECT_EQ(slots.available(), 1);
  });
}

TEST_P(SemaphoreTest, APlainThreadAcquires) {
  Semaphore slots(0);
  std::thread thread([&] { slots.Acquire(2); });
  Run([&] {
    AwaitWaiters(slots);
    slots.Release();
    slots.Release();
  });
  thread.join();
}

}  // namespace
}  // namespace curg
