// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/wait_group.h"

#include <atomic>
#include <chrono>
#include <memory>
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

class WaitGroupTest : public testing::TestWithParam<int> {
 protected:
  template <typename Fn>
  void Run(Fn&& fn) {
    curg::Run({.workers = GetParam()}, std::forward<Fn>(fn));
  }
};

INSTANTIATE_TEST_SUITE_P(Workers, WaitGroupTest, testing::Values(1, 4),
                         [](const auto& info) { return std::to_string(info.param); });

TEST_P(WaitGroupTest, WaitsForAll) {
  Run([] {
    WaitGroup group;
    std::atomic<int> done{0};
    for (int i = 0; i < 100; ++i) {
      group.Add();
      (void)Go([&, i] {
        if (i % 7 == 0) SleepFor(1ms);
        ++done;
        group.Done();
      });
    }
    group.Wait();
    EXPECT_EQ(done, 100);
    group.Wait();  // zero still
  });
}

TEST_P(WaitGroupTest, WakesEverybodyWhoWaits) {
  Run([] {
    WaitGroup group(2);
    std::vector<JoinHandle<void>> waiters;
    for (int i = 0; i < 5; ++i) waiters.push_back(Go([&] { group.Wait(); }));
    AwaitWaiters(group, 5);
    group.Done();
    for (JoinHandle<void>& waiter : waiters) EXPECT_FALSE(waiter.done());
    group.Done();
    for (JoinHandle<void>& waiter : waiters) waiter.Join();
  });
}

TEST_P(WaitGroupTest, CanBeUsedAgain) {
  Run([] {
    WaitGroup group;
    for (int round = 0; round < 200; ++round) {
      group.Add(2);
      JoinHandle<void> a = Go([&] { group.Done(); });
      JoinHandle<void> b = Go([&] { group.Done(); });
      group.Wait();
      a.Join();
      b.Join();
    }
  });
}

// The last Done must not look back once a Wait can return.
TEST_P(WaitGroupTest, MayBeDestroyedOnceWaitReturns) {
  Run([] {
    for (int i = 0; i < 2000; ++i) {
      auto group = std::make_unique<WaitGroup>(2);
      JoinHandle<void> a = Go([group = group.get()] { group->Done(); });
      JoinHandle<void> b = Go([group = group.get()] { group->Done(); });
      group->Wait();
      group.reset();
      a.Join();
      b.Join();
    }
  });
}

TEST_P(WaitGroupTest, ANegativeCounterThrowsAndNamesTheTask) {
  Run([] {
    WaitGroup group(1);
    try {
      group.Add(-2);
      FAIL() << "no error";
    } catch (const std::logic_error& error) {
      EXPECT_NE(std::string(error.what()).find("\"main\": makes a WaitGroup's counter negative"),
                std::string::npos)
          << error.what();
    }
    group.Done();
    group.Wait();
    EXPECT_THROW(group.Done(), std::logic_error);
  });
}

TEST_P(WaitGroupTest, WaitUntilAndStopGiveUp) {
  Run([] {
    WaitGroup group(1);
    EXPECT_EQ(group.WaitUntil(Deadline::After(5ms)), WaitStatus::kTimeout);
    std::stop_source stop;
    JoinHandle<WaitStatus> waiter = Go([&] { return group.Wait(stop.get_token()); });
    AwaitWaiters(group);
    stop.request_stop();
    EXPECT_EQ(waiter.Join(), WaitStatus::kCancelled);
    group.Done();
    EXPECT_EQ(group.WaitUntil(Deadline::After(1min)), WaitStatus::kOk);
  });
}

TEST_P(WaitGroupTest, APlainThreadWaits) {
  WaitGroup group(1);
  std::thread thread([&] { group.Wait(); });
  Run([&] {
    AwaitWaiters(group);
    group.Done();
  });
  thread.join();
}

TEST(WaitGroupDeathTest, DestroyedUnderAWaiter) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(curg::Run({.workers = 1},
                         [] {
                           auto group = std::make_unique<WaitGroup>(1);
                           JoinHandle<void> waiter = Go([&] { group->Wait(); });
                           AwaitWaiters(*group);
                           group.reset();
                         }),
               "destroys a WaitGroup on which somebody waits");
}

}  // namespace
}  // namespace curg
