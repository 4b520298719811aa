// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/mutex.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/go.h"
#include "tests/runtime/sync/sync_probe.h"

namespace curg {
namespace {

using namespace std::chrono_literals;

class MutexTest : public testing::TestWithParam<int> {
 protected:
  template <typename Fn>
  void Run(Fn&& fn) {
    curg::Run({.workers = GetParam()}, std::forward<Fn>(fn));
  }
};

INSTANTIATE_TEST_SUITE_P(Workers, MutexTest, testing::Values(1, 4),
                         [](const auto& info) { return std::to_string(info.param); });

TEST_P(MutexTest, ExcludesTasksThatParkInside) {
  Run([] {
    Mutex mutex;
    int inside = 0;
    int total = 0;
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(Go([&] {
        for (int round = 0; round < 50; ++round) {
          std::lock_guard lock(mutex);
          EXPECT_EQ(++inside, 1);
          if (round % 3 == 0) Yield();
          ++total;
          --inside;
        }
      }));
    }
    for (JoinHandle<void>& task : tasks) task.Join();
    EXPECT_EQ(total, 1000);
  });
}

TEST_P(MutexTest, TryLockSaysWhetherItIsFree) {
  Run([] {
    Mutex mutex;
    EXPECT_TRUE(mutex.try_lock());
    EXPECT_FALSE(Go([&] { return mutex.try_lock(); }).Join());
    mutex.unlock();
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
  });
}

TEST_P(MutexTest, TheStandardLocksWork) {
  Run([] {
    Mutex a;
    Mutex b;
    { std::scoped_lock both(a, b); }
    std::unique_lock lock(a, std::defer_lock);
    EXPECT_TRUE(lock.try_lock_for(1ms));
    JoinHandle<bool> other = Go([&] {
      std::unique_lock mine(a, std::chrono::steady_clock::now() + 5ms);
      return mine.owns_lock();
    });
    EXPECT_FALSE(other.Join());
    lock.unlock();
  });
}

TEST_P(MutexTest, LockUntilGivesUpAndTheMutexGoesOn) {
  Run([] {
    Mutex mutex;
    mutex.lock();
    JoinHandle<WaitStatus> late = Go([&] { return mutex.LockUntil(Deadline::After(5ms)); });
    EXPECT_EQ(late.Join(), WaitStatus::kTimeout);
    EXPECT_EQ(internal::SyncProbe::Waiters(mutex), 0u);
    mutex.unlock();
    EXPECT_EQ(mutex.LockUntil(Deadline::After(-1s)), WaitStatus::kOk);
    mutex.unlock();
  });
}

TEST_P(MutexTest, AStopRequestCancelsOnlyTheOneThatAsked) {
  Run([] {
    Mutex mutex;
    std::stop_source stop;
    mutex.lock();
    JoinHandle<WaitStatus> first = Go([&] { return mutex.Lock(stop.get_token()); });
    AwaitWaiters(mutex, 1);
    JoinHandle<void> second = Go([&] { std::lock_guard lock(mutex); });
    AwaitWaiters(mutex, 2);
    stop.request_stop();
    EXPECT_EQ(first.Join(), WaitStatus::kCancelled);
    mutex.unlock();
    second.Join();
  });
}

// A task that takes the mutex again as soon as it has let it go would win for ever against those
// that first have to wake up.
TEST_P(MutexTest, AHogDoesNotStarveOthers) {
  Run([] {
    Mutex mutex;
    std::atomic<bool> done{false};
    JoinHandle<void> hog = Go([&] {
      while (!done.load()) {
        std::lock_guard lock(mutex);
        Yield();
      }
    });
    for (int i = 0; i < 20; ++i) {
      std::lock_guard lock(mutex);
      SleepFor(100us);
    }
    done = true;
    hog.Join();
  });
}

TEST_P(MutexTest, PlainThreadsAndTasksShareIt) {
  Mutex mutex;
  int total = 0;
  auto count = [&] {
    for (int i = 0; i < 2000; ++i) {
      std::lock_guard lock(mutex);
      ++total;
      if (i % 100 == 0) Yield();
    }
  };
  std::thread thread(count);
  Run([&] {
    JoinHandle<void> task = Go(count);
    count();
    task.Join();
  });
  thread.join();
  EXPECT_EQ(total, 6000);
}

// As with std::mutex: whoever holds it last may destroy what it protects.
TEST_P(MutexTest, MayBeDestroyedUnderItsOwnProtection) {
  Run([] {
    struct Shared {
      Mutex mutex;
      int users = 4;
    };
    for (int i = 0; i < 500; ++i) {
      auto* shared = new Shared;
      std::vector<JoinHandle<void>> tasks;
      for (int user = 0; user < 4; ++user) {
        tasks.push_back(Go([shared, user] {
          shared->mutex.lock();
          if (user % 2 == 0) Yield();
          const bool last = --shared->users == 0;
          shared->mutex.unlock();
          if (last) delete shared;
        }));
      }
      for (JoinHandle<void>& task : tasks) task.Join();
    }
  });
}

TEST(MutexDeathTest, UnlockOfAnUnlockedMutex) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(curg::Run({.workers = 1},
                         [] {
                           Mutex mutex;
                           mutex.unlock();
                         }),
               "task 1 \"main\": unlocks a Mutex that");
}

#ifndef NDEBUG

TEST(MutexDeathTest, UnlockByAStranger) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(curg::Run({.workers = 1},
                         [] {
                           Mutex mutex;
                           mutex.lock();
                           Go({.name = "stranger"}, [&] { mutex.unlock(); }).Join();
                         }),
               "task [0-9]+ \"stranger\": unlocks a Mutex that it has not locked");
}

TEST(Mutex, RelockByItsOwnerThrows) {
  curg::Run({.workers = 1}, [] {
    Mutex mutex;
    std::lock_guard lock(mutex);
    try {
      mutex.lock();
      FAIL() << "locked it twice";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
      EXPECT_NE(std::string(error.what()).find("\"main\": locks a Mutex that it holds"),
                std::string::npos)
          << error.what();
    }
  });
}

#endif

}  // namespace
}  // namespace curg
