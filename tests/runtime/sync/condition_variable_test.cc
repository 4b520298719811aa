// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/condition_variable.h"

#include <chrono>
#include <deque>
#include <mutex>
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

class ConditionVariableTest : public testing::TestWithParam<int> {
 protected:
  template <typename Fn>
  void Run(Fn&& fn) {
    curg::Run({.workers = GetParam()}, std::forward<Fn>(fn));
  }
};

INSTANTIATE_TEST_SUITE_P(Workers, ConditionVariableTest, testing::Values(1, 4),
                         [](const auto& info) { return std::to_string(info.param); });

TEST_P(ConditionVariableTest, ABoundedQueue) {
  Run([] {
    Mutex mutex;
    ConditionVariable not_empty;
    ConditionVariable not_full;
    std::deque<int> queue;
    constexpr int kEach = 200;
    auto produce = [&] {
      for (int i = 0; i < kEach; ++i) {
        std::unique_lock lock(mutex);
        not_full.Wait(lock, [&] { return queue.size() < 2; });
        queue.push_back(i);
        not_empty.NotifyOne();
      }
    };
    int64_t sum = 0;
    auto consume = [&] {
      for (int i = 0; i < kEach; ++i) {
        std::unique_lock lock(mutex);
        not_empty.Wait(lock, [&] { return !queue.empty(); });
        sum += queue.front();
        queue.pop_front();
        not_full.NotifyOne();
      }
    };
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.push_back(Go(produce));
      tasks.push_back(Go(consume));
    }
    for (JoinHandle<void>& task : tasks) task.Join();
    EXPECT_EQ(sum, 3 * kEach * (kEach - 1) / 2);
  });
}

TEST_P(ConditionVariableTest, NotifyOneWakesTheOneThatWaitedLongest) {
  Run([] {
    Mutex mutex;
    ConditionVariable changed;
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 3; ++i) {
      tasks.push_back(Go([&] {
        std::unique_lock lock(mutex);
        changed.Wait(lock);
      }));
      AwaitWaiters(changed, i + 1);
    }
    changed.NotifyOne();
    tasks[0].Join();
    EXPECT_FALSE(tasks[1].done());
    EXPECT_FALSE(tasks[2].done());
    changed.NotifyAll();
    tasks[1].Join();
    tasks[2].Join();
  });
}

TEST_P(ConditionVariableTest, GivingUpHoldsTheLockAgain) {
  Run([] {
    Mutex mutex;
    ConditionVariable changed;
    std::unique_lock lock(mutex);
    EXPECT_EQ(changed.WaitUntil(lock, Deadline::After(2ms)), WaitStatus::kTimeout);
    EXPECT_FALSE(Go([&] { return mutex.try_lock(); }).Join());
    EXPECT_EQ(changed.WaitUntil(
                  lock, [] { return false; }, Deadline::After(2ms)),
              WaitStatus::kTimeout);
    EXPECT_EQ(changed.WaitUntil(
                  lock, [] { return true; }, Deadline::After(2ms)),
              WaitStatus::kOk);
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(changed.Wait(lock, stop.get_token()), WaitStatus::kCancelled);
    EXPECT_EQ(changed.Wait(
                  lock, [] { return false; }, stop.get_token()),
              WaitStatus::kCancelled);
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_EQ(internal::SyncProbe::Waiters(changed), 0u);
  });
}

TEST_P(ConditionVariableTest, APlainThreadWaits) {
  Mutex mutex;
  ConditionVariable changed;
  bool ready = false;
  std::thread thread([&] {
    std::unique_lock lock(mutex);
    changed.Wait(lock, [&] { return ready; });
  });
  Run([&] {
    AwaitWaiters(changed);
    std::lock_guard lock(mutex);
    ready = true;
    changed.NotifyAll();
  });
  thread.join();
}

TEST(ConditionVariableDeathTest, WaitWithoutTheLock) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(curg::Run({.workers = 1},
                         [] {
                           Mutex mutex;
                           ConditionVariable changed;
                           std::unique_lock lock(mutex, std::defer_lock);
                           changed.Wait(lock);
                         }),
               "\"main\": waits on a ConditionVariable without holding the lock");
}

}  // namespace
}  // namespace curg
