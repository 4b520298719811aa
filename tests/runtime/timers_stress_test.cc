// SPDX-License-Identifier: Apache-2.0
//
// Cancel against RunDue on other threads: each timer is cancelled or fires, never both, never
// neither.
#include <array>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/timers.h"
#include "tests/runtime/watchdog.h"

namespace curg::internal {
namespace {

struct Counted : Timer {
  std::atomic<int> fired{0};
};

TEST(TimersStress, CancelRacesWithFire) {
  constexpr int kRounds = 2'000;
  constexpr int kOwners = 2;
  Watchdog watchdog;
  TimerQueue queue;
  std::atomic<int> owners{kOwners};
  std::atomic<int> timers_total{0};
  std::atomic<int> fired_total{0};
  std::atomic<int> cancelled_total{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kOwners; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(static_cast<unsigned>(t) + 1);
      // On a busy machine one side may not get a CPU for long: then it takes more rounds to see
      // both ends.
      const auto seen_both = [&] { return fired_total > 0 && cancelled_total > 0; };
      for (int i = 0; i < kRounds || !seen_both(); ++i) {
        std::array<Counted, 8> timers;
        for (Counted& timer : timers) {
          timer.fire = [](Timer* self) { ++static_cast<Counted*>(self)->fired; };
          timer.when = MonotonicNow() + static_cast<int64_t>(random() % 20'000);
          queue.Add(&timer);
        }
        for (Counted& timer : timers) {
          if (TimerQueue::Cancel(&timer)) {
            EXPECT_EQ(timer.fired, 0);
            ++cancelled_total;
            ++timers_total;
          } else {
            ++timers_total;
            while (timer.fired == 0) std::this_thread::yield();  // its fire is on the way
            EXPECT_EQ(timer.fired, 1);
            ++fired_total;
          }
        }
        watchdog.Progress();
      }
      --owners;
    });
  }
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (owners > 0) queue.RunDue(MonotonicNow());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fired_total + cancelled_total, timers_total);
  EXPECT_GE(timers_total, kOwners * kRounds * 8);
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
}

// A retiring worker's timers move to another queue, while their owners take them back.
TEST(TimersStress, CancelRacesWithAMove) {
  constexpr int kRounds = 20'000;
  Watchdog watchdog;
  std::array<TimerQueue, 2> queues;
  std::atomic<bool> over{false};
  std::thread mover([&] {
    for (size_t from = 0; !over; from = 1 - from) queues[from].MoveTo(queues[1 - from]);
  });
  std::minstd_rand random(1);
  for (int i = 0; i < kRounds; ++i) {
    std::array<Timer, 4> timers;
    for (Timer& timer : timers) {
      timer.when = MonotonicNow() + 1'000'000'000;
      queues[random() % 2].Add(&timer);
    }
    for (Timer& timer : timers) EXPECT_TRUE(TimerQueue::Cancel(&timer));
    watchdog.Progress();
  }
  over = true;
  mover.join();
  for (TimerQueue& queue : queues) {
    EXPECT_EQ(queue.size(), 0u);
    EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
  }
}

}  // namespace
}  // namespace curg::internal
