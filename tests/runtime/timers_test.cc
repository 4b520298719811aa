// SPDX-License-Identifier: Apache-2.0
#include "runtime/timers.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <span>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

// Notes the order in which its kind fire.
struct Noted : Timer {
  explicit Noted(std::vector<int64_t>* fired) : fired(fired) {
    fire = [](Timer* timer) {
      auto* self = static_cast<Noted*>(timer);
      self->fired->push_back(self->when);
    };
  }
  std::vector<int64_t>* fired;
};

// Requires: no sleepers.
size_t RunDue(TimerQueue& queue, int64_t now) {
  return queue.RunDue(now, SIZE_MAX, [](std::span<Task* const>) { ADD_FAILURE(); });
}

// The queue does not look into tasks: these are known by when they are to wake up.
Task* SleeperUntil(int64_t when) { return reinterpret_cast<Task*>(when); }
int64_t EndOf(Task* sleeper) { return reinterpret_cast<int64_t>(sleeper); }

class TimersTest : public testing::Test {
 protected:
  Noted* Make(int64_t when) {
    timers.push_back(std::make_unique<Noted>(&fired));
    timers.back()->when = when;
    return timers.back().get();
  }
  bool AddSleeper(int64_t when) { return queue.AddSleeper(SleeperUntil(when), when); }
  size_t RunDueWithSleepers(TimerQueue& from, int64_t now, size_t sleepers_max = SIZE_MAX) {
    return from.RunDue(now, sleepers_max, [this](std::span<Task* const> tasks) {
      for (Task* task : tasks) woken.push_back(EndOf(task));
    });
  }
  Noted* Add(int64_t when) {
    Noted* const timer = Make(when);
    queue.Add(timer);
    return timer;
  }

  TimerQueue queue{/*tick_shift=*/0};  // so that each nanosecond counts
  std::vector<int64_t> fired;
  std::vector<int64_t> woken;
  std::vector<std::unique_ptr<Noted>> timers;
};

using Times = std::vector<int64_t>;

TEST_F(TimersTest, EmptyIsNever) {
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
  EXPECT_EQ(RunDue(queue, TimerQueue::kNever - 1), 0u);
}

TEST_F(TimersTest, FireInOrder) {
  for (int64_t when : {5, 3, 9, 1, 7, 3, 8}) Add(when);
  EXPECT_EQ(queue.Earliest(), 1);
  EXPECT_EQ(RunDue(queue, 0), 0u);
  EXPECT_EQ(RunDue(queue, 5), 4u);
  EXPECT_EQ(fired, (Times{1, 3, 3, 5}));
  EXPECT_EQ(queue.Earliest(), 7);
  EXPECT_EQ(RunDue(queue, 100), 3u);
  EXPECT_EQ(fired, (Times{1, 3, 3, 5, 7, 8, 9}));
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
}

TEST_F(TimersTest, AddTellsWhenItIsTheEarliest) {
  EXPECT_TRUE(queue.Add(Make(5)));
  EXPECT_FALSE(queue.Add(Make(6)));
  EXPECT_TRUE(queue.Add(Make(4)));
  EXPECT_FALSE(queue.Add(Make(4)));  // no earlier than what there is
  EXPECT_EQ(queue.Earliest(), 4);
}

TEST_F(TimersTest, CancelAtEachPlace) {
  for (size_t place = 0; place < 22; ++place) {
    TimerQueue one(/*tick_shift=*/0);
    std::vector<Noted*> all;
    for (int i = 0; i < 22; ++i) {
      all.push_back(Make(i * 7 % 22));
      one.Add(all.back());
    }
    EXPECT_TRUE(TimerQueue::Cancel(all[place]));
    EXPECT_FALSE(TimerQueue::Cancel(all[place]));
    EXPECT_EQ(one.Earliest(), all[place]->when == 0 ? 1 : 0);
    fired.clear();
    EXPECT_EQ(RunDue(one, 100), 21u);
    EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
    EXPECT_EQ(std::count(fired.begin(), fired.end(), all[place]->when), 0);
  }
}

TEST_F(TimersTest, CancelAfterFiringOrWithoutAdding) {
  Noted* const timer = Add(1);
  RunDue(queue, 1);
  EXPECT_FALSE(TimerQueue::Cancel(timer));
  EXPECT_FALSE(TimerQueue::Cancel(Make(2)));
}

TEST_F(TimersTest, FireMayAddAgain) {
  struct Again : Timer {
    int left = 3;
  } again;
  again.when = 1;
  again.fire = [](Timer* timer) {
    auto* self = static_cast<Again*>(timer);
    TimerQueue* const in = self->queue;
    ++self->when;
    if (--self->left > 0) in->Add(self);
  };
  queue.Add(&again);
  EXPECT_EQ(RunDue(queue, 2), 2u);  // at 1 and 2
  EXPECT_EQ(queue.Earliest(), 3);
  EXPECT_EQ(RunDue(queue, 3), 1u);
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
}

TEST_F(TimersTest, FireNeverEarlyAndLessThanATickLate) {
  constexpr int64_t kTick = int64_t{1} << TimerQueue::kTickShift;
  TimerQueue coarse;
  for (int64_t when : {int64_t{1}, kTick - 1, kTick, kTick + 1, 70 * kTick + 5, int64_t{1} << 50}) {
    Noted* const timer = Make(when);
    EXPECT_TRUE(coarse.Add(timer));
    const int64_t at = coarse.Earliest();
    EXPECT_GE(at, when);
    EXPECT_LT(at, when + kTick);
    EXPECT_EQ(RunDue(coarse, at - 1), 0u);
    EXPECT_EQ(RunDue(coarse, at), 1u);
    EXPECT_EQ(coarse.Earliest(), TimerQueue::kNever);
  }
}

TEST_F(TimersTest, TheLastTimeThereIsDoesNotWrap) {
  TimerQueue coarse;
  coarse.Add(Make(TimerQueue::kNever - 1));
  coarse.Add(Make(-5));
  EXPECT_EQ(RunDue(coarse, 0), 1u);
  EXPECT_GT(coarse.Earliest(), int64_t{1} << 62);
  EXPECT_LT(coarse.Earliest(), TimerQueue::kNever);
}

// Whoever adds to a queue that has not been looked at for long finds its way, too.
TEST_F(TimersTest, AddAfterALongSilence) {
  queue.Add(Make(int64_t{1} << 40));
  EXPECT_TRUE(queue.Add(Make((int64_t{1} << 40) - 3)));
  EXPECT_EQ(RunDue(queue, (int64_t{1} << 40) - 1), 1u);
  Add((int64_t{1} << 40) + 1);
  EXPECT_EQ(queue.Earliest(), int64_t{1} << 40);
  EXPECT_EQ(RunDue(queue, (int64_t{1} << 40) + 1), 2u);
}

TEST_F(TimersTest, MoveKeepsAll) {
  TimerQueue other(/*tick_shift=*/0);
  for (int64_t when : {1000, 3, 70, 5}) Add(when);
  other.Add(Make(4));
  RunDue(other, 50);  // is ahead of the times of some
  queue.MoveTo(other);
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_TRUE(TimerQueue::Cancel(timers[2].get()));
  EXPECT_EQ(RunDue(other, 50), 2u);
  EXPECT_EQ(RunDue(other, 1000), 1u);
}

// What remains of many is numbered anew.
TEST_F(TimersTest, FewOfManyStay) {
  for (int64_t when = 1; when <= 5000; ++when) Add(when);
  Noted* const last = Add(9000);
  EXPECT_EQ(RunDue(queue, 5000), 5000u);
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
  EXPECT_EQ(queue.Earliest(), 9000);
  EXPECT_TRUE(TimerQueue::Cancel(last));
  EXPECT_EQ(queue.size(), 0u);
}

TEST_F(TimersTest, SleepersWakeInOrder) {
  for (int64_t when : {5, 3, 900'000, 1, 7, 3, 8}) AddSleeper(when);
  EXPECT_EQ(queue.Earliest(), 1);
  EXPECT_EQ(RunDueWithSleepers(queue, 0), 0u);
  EXPECT_EQ(RunDueWithSleepers(queue, 5), 4u);
  EXPECT_EQ(woken, (Times{1, 3, 3, 5}));
  EXPECT_EQ(queue.Earliest(), 7);
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(RunDueWithSleepers(queue, 900'000), 3u);
  EXPECT_EQ(woken, (Times{1, 3, 3, 5, 7, 8, 900'000}));
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
}

TEST_F(TimersTest, AddingASleeperTellsWhenItIsTheEarliest) {
  EXPECT_TRUE(AddSleeper(5));
  EXPECT_FALSE(queue.Add(Make(6)));
  EXPECT_FALSE(AddSleeper(6));
  EXPECT_TRUE(queue.Add(Make(4)));
  EXPECT_FALSE(AddSleeper(4));
  EXPECT_TRUE(AddSleeper(3));
}

// What is left stays due, behind nothing that comes later, whatever its kind.
TEST_F(TimersTest, OnlySoManySleepersWake) {
  for (int i = 0; i < 100; ++i) AddSleeper(1 + i / 50);
  Add(1);
  Add(2);
  EXPECT_EQ(RunDueWithSleepers(queue, 10, 3), 4u);
  EXPECT_EQ(woken, (Times{1, 1, 1}));
  EXPECT_EQ(fired, Times{1});
  EXPECT_EQ(queue.Earliest(), 1);
  EXPECT_EQ(RunDueWithSleepers(queue, 10, 60), 61u);
  EXPECT_EQ(woken.size(), 63u);
  EXPECT_TRUE(std::is_sorted(woken.begin(), woken.end()));
  AddSleeper(2);
  EXPECT_EQ(RunDueWithSleepers(queue, 10), 38u);
  EXPECT_EQ(woken.size(), 101u);
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
}

TEST_F(TimersTest, ACancelledTimerLeavesTheSleepersOfItsSlot) {
  Noted* const timer = Add(5000);
  AddSleeper(5000);
  EXPECT_TRUE(TimerQueue::Cancel(timer));
  EXPECT_EQ(queue.Earliest(), 5000);
  EXPECT_EQ(RunDueWithSleepers(queue, 5000), 1u);
  Add(6000);
  AddSleeper(6000);
  EXPECT_EQ(RunDueWithSleepers(queue, 6000), 2u);
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
}

TEST_F(TimersTest, MoveKeepsSleepers) {
  TimerQueue other(/*tick_shift=*/0);
  Times all;
  for (int64_t when = 1; when <= 3000; ++when) {
    AddSleeper(when * 3);
    all.push_back(when * 3);
  }
  other.AddSleeper(SleeperUntil(1), 1);
  RunDueWithSleepers(other, 50);  // is ahead of the times of some
  woken.clear();
  queue.MoveTo(other);
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
  EXPECT_EQ(other.size(), 3000u);
  EXPECT_EQ(RunDueWithSleepers(other, 9000), 3000u);
  std::sort(woken.begin(), woken.begin() + 50 / 3);
  EXPECT_EQ(woken, all);
  EXPECT_TRUE(AddSleeper(7));
  EXPECT_EQ(RunDueWithSleepers(queue, 7), 1u);
}

// What remains of many sleepers is packed anew, beside timers that stay where they are.
TEST_F(TimersTest, FewOfManySleepersStay) {
  constexpr int64_t kMany = 100'000;
  for (int64_t when = 1; when <= kMany; ++when) AddSleeper(when);
  for (int64_t when : {kMany + 5, 2 * kMany, 90 * kMany}) {
    AddSleeper(when);
    Add(when);
  }
  EXPECT_EQ(RunDueWithSleepers(queue, kMany), static_cast<size_t>(kMany));
  EXPECT_TRUE(std::is_sorted(woken.begin(), woken.end()));
  EXPECT_EQ(queue.Earliest(), kMany + 5);
  woken.clear();
  EXPECT_EQ(RunDueWithSleepers(queue, 90 * kMany), 6u);
  EXPECT_EQ(woken, (Times{kMany + 5, 2 * kMany, 90 * kMany}));
  EXPECT_EQ(fired, woken);
}

TEST_F(TimersTest, RandomOperationsAgreeWithAMultimap) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  std::multimap<int64_t, Noted*> model;
  std::multiset<int64_t> sleepers;
  bool many = false;  // sleepers, now and then
  int64_t now = 0;
  for (int i = 0; i < 50'000; ++i) {
    if (random() % 1000 == 0) many = !many;
    for (size_t more = random() % (many ? 20 : 2); more > 0; --more) {
      const int64_t when = now + static_cast<int64_t>(random() % 20'000);
      const bool earliest = when < queue.Earliest();
      EXPECT_EQ(AddSleeper(when), earliest);
      sleepers.insert(when);
    }
    switch (random() % 4) {
      case 0:
      case 1: {
        const int64_t range = random() % 2 == 0 ? 100 : 100'000;  // two levels, or three
        Noted* const timer = Make(now + static_cast<int64_t>(random() % range));
        const bool earliest = timer->when < queue.Earliest();
        EXPECT_EQ(queue.Add(timer), earliest);
        model.emplace(timer->when, timer);
        break;
      }
      case 2: {
        if (model.empty()) break;
        auto chosen = model.lower_bound(now + static_cast<int64_t>(random() % 1000));
        if (chosen == model.end()) chosen = model.begin();
        EXPECT_TRUE(TimerQueue::Cancel(chosen->second));
        model.erase(chosen);
        break;
      }
      case 3: {
        now += static_cast<int64_t>(random() % (random() % 50 == 0 ? 20'000 : 30));
        Times expected;
        while (!model.empty() && model.begin()->first <= now) {
          expected.push_back(model.begin()->first);
          model.erase(model.begin());
        }
        const auto later = sleepers.upper_bound(now);
        const Times to_wake(sleepers.begin(), later);
        sleepers.erase(sleepers.begin(), later);
        fired.clear();
        woken.clear();
        EXPECT_EQ(RunDueWithSleepers(queue, now), expected.size() + to_wake.size());
        ASSERT_EQ(fired, expected);
        ASSERT_EQ(woken, to_wake);
        break;
      }
    }
    // Sooner than that if one was cancelled; never later, and none is never missed.
    const int64_t timer = model.empty() ? TimerQueue::kNever : model.begin()->first;
    const int64_t sleeper = sleepers.empty() ? TimerQueue::kNever : *sleepers.begin();
    ASSERT_LE(queue.Earliest(), std::min(timer, sleeper));
    ASSERT_EQ(queue.Earliest() == TimerQueue::kNever, model.empty() && sleepers.empty());
    ASSERT_EQ(queue.size(), model.size() + sleepers.size());
  }
}

}  // namespace
}  // namespace curg::internal
