// SPDX-License-Identifier: Apache-2.0
#include "runtime/timers.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <random>
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

class TimersTest : public testing::Test {
 protected:
  Noted* Make(int64_t when) {
    timers.push_back(std::make_unique<Noted>(&fired));
    timers.back()->when = when;
    return timers.back().get();
  }
  Noted* Add(int64_t when) {
    Noted* const timer = Make(when);
    queue.Add(timer);
    return timer;
  }

  TimerQueue queue{/*tick_shift=*/0};  // so that each nanosecond counts
  std::vector<int64_t> fired;
  std::vector<std::unique_ptr<Noted>> timers;
};

using Times = std::vector<int64_t>;

TEST_F(TimersTest, EmptyIsNever) {
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
  EXPECT_EQ(queue.RunDue(TimerQueue::kNever - 1), 0u);
}

TEST_F(TimersTest, FireInOrder) {
  for (int64_t when : {5, 3, 9, 1, 7, 3, 8}) Add(when);
  EXPECT_EQ(queue.Earliest(), 1);
  EXPECT_EQ(queue.RunDue(0), 0u);
  EXPECT_EQ(queue.RunDue(5), 4u);
  EXPECT_EQ(fired, (Times{1, 3, 3, 5}));
  EXPECT_EQ(queue.Earliest(), 7);
  EXPECT_EQ(queue.RunDue(100), 3u);
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
    EXPECT_EQ(one.RunDue(100), 21u);
    EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
    EXPECT_EQ(std::count(fired.begin(), fired.end(), all[place]->when), 0);
  }
}

TEST_F(TimersTest, CancelAfterFiringOrWithoutAdding) {
  Noted* const timer = Add(1);
  queue.RunDue(1);
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
  EXPECT_EQ(queue.RunDue(2), 2u);  // at 1 and 2
  EXPECT_EQ(queue.Earliest(), 3);
  EXPECT_EQ(queue.RunDue(3), 1u);
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
    EXPECT_EQ(coarse.RunDue(at - 1), 0u);
    EXPECT_EQ(coarse.RunDue(at), 1u);
    EXPECT_EQ(coarse.Earliest(), TimerQueue::kNever);
  }
}

TEST_F(TimersTest, TheLastTimeThereIsDoesNotWrap) {
  TimerQueue coarse;
  coarse.Add(Make(TimerQueue::kNever - 1));
  coarse.Add(Make(-5));
  EXPECT_EQ(coarse.RunDue(0), 1u);
  EXPECT_GT(coarse.Earliest(), int64_t{1} << 62);
  EXPECT_LT(coarse.Earliest(), TimerQueue::kNever);
}

// Whoever adds to a queue that has not been looked at for long finds its way, too.
TEST_F(TimersTest, AddAfterALongSilence) {
  queue.Add(Make(int64_t{1} << 40));
  EXPECT_TRUE(queue.Add(Make((int64_t{1} << 40) - 3)));
  EXPECT_EQ(queue.RunDue((int64_t{1} << 40) - 1), 1u);
  Add((int64_t{1} << 40) + 1);
  EXPECT_EQ(queue.Earliest(), int64_t{1} << 40);
  EXPECT_EQ(queue.RunDue((int64_t{1} << 40) + 1), 2u);
}

TEST_F(TimersTest, MoveKeepsAll) {
  TimerQueue other(/*tick_shift=*/0);
  for (int64_t when : {1000, 3, 70, 5}) Add(when);
  other.Add(Make(4));
  other.RunDue(50);  // is ahead of the times of some
  queue.MoveTo(other);
  EXPECT_EQ(queue.Earliest(), TimerQueue::kNever);
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_TRUE(TimerQueue::Cancel(timers[2].get()));
  EXPECT_EQ(other.RunDue(50), 2u);
  EXPECT_EQ(other.RunDue(1000), 1u);
}

// What remains of many is numbered anew.
TEST_F(TimersTest, FewOfManyStay) {
  for (int64_t when = 1; when <= 5000; ++when) Add(when);
  Noted* const last = Add(9000);
  EXPECT_EQ(queue.RunDue(5000), 5000u);
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
  EXPECT_EQ(queue.Earliest(), 9000);
  EXPECT_TRUE(TimerQueue::Cancel(last));
  EXPECT_EQ(queue.size(), 0u);
}

TEST_F(TimersTest, RandomOperationsAgreeWithAMultimap) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  std::multimap<int64_t, Noted*> model;
  int64_t now = 0;
  for (int i = 0; i < 50'000; ++i) {
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
        fired.clear();
        EXPECT_EQ(queue.RunDue(now), expected.size());
        ASSERT_EQ(fired, expected);
        break;
      }
    }
    // Sooner than that if one was cancelled; never later, and none is never missed.
    ASSERT_LE(queue.Earliest(), model.empty() ? TimerQueue::kNever : model.begin()->first);
    ASSERT_EQ(queue.Earliest() == TimerQueue::kNever, model.empty());
    ASSERT_EQ(queue.size(), model.size());
  }
}

}  // namespace
}  // namespace curg::internal
