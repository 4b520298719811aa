// SPDX-License-Identifier: Apache-2.0
//
// Cancel against RunDue on other threads: each timer is cancelled or fires, never both, never
// neither.
#include <array>
#include <atomic>
#include <cstdint>
#include <random>
#include <span>
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
      while (owners > 0) queue.RunDue(MonotonicNow(), SIZE_MAX, [](std::span<Task* const>) {});
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

// Sleepers are added, woken and moved on several threads, beside timers in the same slots: each is
// woken once, and none before its time.
TEST(TimersStress, SleepersWakeOnce) {
  constexpr size_t kSleepers = 20'000;
  Watchdog watchdog;
  std::array<TimerQueue, 2> queues;
  std::vector<std::atomic<int64_t>> ends(kSleepers);  // 0: was woken
  const auto number_of = [](Task* task) { return reinterpret_cast<uintptr_t>(task) - 1; };
  std::atomic<size_t> woken{0};
  const auto wake = [&](std::span<Task* const> tasks) {
    const int64_t now = MonotonicNow();
    for (Task* task : tasks) {
      const int64_t end = ends[number_of(task)].exchange(0);
      EXPECT_NE(end, 0);
      EXPECT_LE(end, now);
    }
    woken += tasks.size();
    watchdog.Progress();
  };
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(static_cast<unsigned>(t) + 1);
      for (size_t i = t; i < kSleepers; i += 2) {
        const int64_t end = MonotonicNow() + static_cast<int64_t>(random() % 2'000'000);
        ends[i] = end;
        Timer timer;
        timer.when = end + 1'000'000'000;
        queues[random() % 2].Add(&timer);
        queues[random() % 2].AddSleeper(reinterpret_cast<Task*>(i + 1), end);
        EXPECT_TRUE(TimerQueue::Cancel(&timer));
      }
    });
    threads.emplace_back([&, t] {
      std::minstd_rand random(static_cast<unsigned>(t) + 1);
      while (woken < kSleepers) queues[t].RunDue(MonotonicNow(), 1 + random() % 100, wake);
    });
  }
  threads.emplace_back([&] {
    for (size_t from = 0; woken < kSleepers; from = 1 - from) {
      queues[from].MoveTo(queues[1 - from]);
      std::this_thread::yield();
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(woken, kSleepers);
  for (TimerQueue& queue : queues) EXPECT_EQ(queue.size(), 0u);
}

}  // namespace
}  // namespace curg::internal
