// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/barrier.h"

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

class BarrierTest : public testing::TestWithParam<int> {
 protected:
  template <typename Fn>
  void Run(Fn&& fn) {
    curg::Run({.workers = GetParam()}, std::forward<Fn>(fn));
  }
};

INSTANTIATE_TEST_SUITE_P(Workers, BarrierTest, testing::Values(1, 4),
                         [](const auto& info) { return std::to_string(info.param); });

TEST_P(BarrierTest, NobodyIsAPhaseAhead) {
  Run([] {
    constexpr int kTasks = 5;
    constexpr int kPhases = 100;
    Barrier barrier(kTasks);
    std::atomic<int> arrived{0};
    std::atomic<int> lasts{0};
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < kTasks; ++i) {
      tasks.push_back(Go([&] {
        for (int phase = 0; phase < kPhases; ++phase) {
          ++arrived;
          if (barrier.ArriveAndWait()) ++lasts;
          EXPECT_GE(arrived, (phase + 1) * kTasks);
          barrier.ArriveAndWait();
        }
      }));
    }
    for (JoinHandle<void>& task : tasks) task.Join();
    EXPECT_EQ(lasts, kPhases);
  });
}

TEST_P(BarrierTest, WhoGivesUpHasNotArrived) {
  Run([] {
    Barrier barrier(2);
    EXPECT_EQ(barrier.ArriveAndWaitUntil(Deadline::After(2ms)), WaitStatus::kTimeout);
    std::stop_source stop;
    JoinHandle<WaitStatus> cancelled = Go([&] { return barrier.ArriveAndWait(stop.get_token()); });
    AwaitWaiters(barrier);
    stop.request_stop();
    EXPECT_EQ(cancelled.Join(), WaitStatus::kCancelled);
    JoinHandle<bool> other = Go([&] { return barrier.ArriveAndWait(); });
    AwaitWaiters(barrier);
    EXPECT_FALSE(other.done());
    EXPECT_TRUE(barrier.ArriveAndWait());
    EXPECT_FALSE(other.Join());
  });
}

TEST_P(BarrierTest, PlainThreadsAndTasksMeet) {
  Barrier barrier(2);
  std::atomic<int> lasts{0};
  const auto come = [&] {
    for (int phase = 0; phase < 100; ++phase) {
      bool last = false;
      EXPECT_EQ(barrier.ArriveAndWaitUntil(Deadline::Never(), {}, &last), WaitStatus::kOk);
      if (last) ++lasts;
    }
  };
  std::thread thread(come);
  Run(come);
  thread.join();
  EXPECT_EQ(lasts, 100);
}

TEST_P(BarrierTest, OneThatDropsOutEndsThePhase) {
  Run([] {
    Barrier barrier(2);
    JoinHandle<bool> waiter = Go([&] { return barrier.ArriveAndWait(); });
    AwaitWaiters(barrier);
    barrier.ArriveAndDrop();
    EXPECT_FALSE(waiter.Join());
    EXPECT_TRUE(barrier.ArriveAndWait());
    barrier.ArriveAndDrop();
    EXPECT_THROW(barrier.ArriveAndDrop(), std::logic_error);
    EXPECT_THROW(barrier.ArriveAndWait(), std::logic_error);
  });
}

TEST(Barrier, IsForSomebody) { EXPECT_THROW(Barrier(0), std::invalid_argument); }

}  // namespace
}  // namespace curg
