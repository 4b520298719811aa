// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/shared_mutex.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <shared_mutex>
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

class SharedMutexTest : public testing::TestWithParam<int> {
 protected:
  template <typename Fn>
  void Run(Fn&& fn) {
    curg::Run({.workers = GetParam()}, std::forward<Fn>(fn));
  }
};

INSTANTIATE_TEST_SUITE_P(Workers, SharedMutexTest, testing::Values(1, 4),
                         [](const auto& info) { return std::to_string(info.param); });

TEST_P(SharedMutexTest, ManyReadersOrOneWriter) {
  Run([] {
    SharedMutex mutex;
    std::atomic<int> readers{0};
    std::atomic<int> writers{0};
    int value = 0;
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 12; ++i) {
      tasks.push_back(Go([&, i] {
        for (int round = 0; round < 50; ++round) {
          if (i % 4 == 0) {
            std::lock_guard lock(mutex);
            EXPECT_EQ(++writers, 1);
            EXPECT_EQ(readers, 0);
            ++value;
            Yield();
            --writers;
          } else {
            std::shared_lock lock(mutex);
            ++readers;
            EXPECT_EQ(writers, 0);
            Yield();
            --readers;
          }
        }
      }));
    }
    for (JoinHandle<void>& task : tasks) task.Join();
    EXPECT_EQ(value, 150);
  });
}

TEST_P(SharedMutexTest, AReaderStandsBehindAWriterThatWaits) {
  Run([] {
    SharedMutex mutex;
    mutex.lock_shared();
    EXPECT_TRUE(mutex.try_lock_shared());
    mutex.unlock_shared();
    JoinHandle<void> writer = Go([&] { std::lock_guard lock(mutex); });
    AwaitWaiters(mutex, 1);
    EXPECT_FALSE(mutex.try_lock_shared());
    JoinHandle<void> reader = Go([&] { std::shared_lock lock(mutex); });
    AwaitWaiters(mutex, 2);
    mutex.unlock_shared();
    writer.Join();
    reader.Join();
  });
}

TEST_P(SharedMutexTest, AWriterThatGivesUpLetsReadersIn) {
  Run([] {
    SharedMutex mutex;
    std::stop_source stop;
    mutex.lock_shared();
    JoinHandle<WaitStatus> writer = Go([&] { return mutex.Lock(stop.get_token()); });
    AwaitWaiters(mutex, 1);
    JoinHandle<void> reader = Go([&] { std::shared_lock lock(mutex); });
    AwaitWaiters(mutex, 2);
    stop.request_stop();
    EXPECT_EQ(writer.Join(), WaitStatus::kCancelled);
    reader.Join();
    EXPECT_FALSE(mutex.try_lock_for(2ms));
    mutex.unlock_shared();
    EXPECT_TRUE(mutex.try_lock_for(1min));
    EXPECT_FALSE(mutex.try_lock_shared_for(2ms));
    mutex.unlock();
  });
}

TEST_P(SharedMutexTest, PlainThreadsShareIt) {
  SharedMutex mutex;
  int value = 0;
  auto count = [&] {
    for (int i = 0; i < 500; ++i) {
      { std::shared_lock lock(mutex); }
      std::lock_guard lock(mutex);
      ++value;
    }
  };
  std::thread thread(count);
  Run(count);
  thread.join();
  EXPECT_EQ(value, 1000);
}

TEST(SharedMutexDeathTest, UnlockOfWhatIsNotLockedThatWay) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  SharedMutex mutex;
  EXPECT_DEATH(mutex.unlock(), "plain thread [0-9]+: unlocks a SharedMutex that no writer holds");
  EXPECT_DEATH(mutex.unlock_shared(), "unlocks a SharedMutex that no reader holds");
}

#ifndef NDEBUG

// Whether it was free, or handed over by the one before.
TEST(SharedMutexDeathTest, UnlockByAStranger) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(curg::Run({.workers = 1},
                         [] {
                           SharedMutex mutex;
                           mutex.lock();
                           JoinHandle<void> next = Go([&] {
                             mutex.lock();
                             SleepFor(1h);
                           });
                           AwaitWaiters(mutex);
                           mutex.unlock();
                           Go({.name = "stranger"}, [&] { mutex.unlock(); }).Join();
                         }),
               "\"stranger\": unlocks a SharedMutex that somebody else has locked");
}

TEST(SharedMutex, LockByItsWriterThrows) {
  curg::Run({.workers = 1}, [] {
    SharedMutex mutex;
    std::unique_lock lock(mutex);
    EXPECT_THROW(mutex.lock(), std::system_error);
    EXPECT_THROW(mutex.lock_shared(), std::system_error);
    EXPECT_FALSE(mutex.try_lock());
    EXPECT_FALSE(mutex.try_lock_for(2ms));
    lock.unlock();
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
  });
}

#endif

}  // namespace
}  // namespace curg
