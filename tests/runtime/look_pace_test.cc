// SPDX-License-Identifier: Apache-2.0
#include "runtime/look_pace.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "runtime/tick_clock.h"

namespace curg::internal {
namespace {

uint64_t TicksOf(int64_t ns) {
  constexpr uint64_t kMany = uint64_t{1} << 40;
  return static_cast<uint64_t>(static_cast<__int128>(kMany) * ns / TickClock::ToNs(kMany));
}

// A worker that runs tasks one after the other, and looks at the poller whenever it looks at all.
class LookPaceTest : public ::testing::Test {
 protected:
  LookPaceTest() { TickClock::Calibrate(); }

  static constexpr int64_t kApartNs = 25'000;

  // Runs `count` tasks of `ns` each; returns how many came before each look.
  std::vector<uint32_t> Run(int count, int64_t ns, bool poller = true) {
    std::vector<uint32_t> distances;
    for (int i = 0; i < count; ++i) {
      ++tick_;
      if (pace_.IsDue(tick_)) {
        if (pace_.TakeGlobalTurn(tick_)) ++global_turns_;
        if (poller) pace_.OnPollLook(tick_, now_, kApartNs);
        distances.push_back(tick_ - looked_);
        looked_ = tick_;
      }
      now_ += TicksOf(ns);
    }
    return distances;
  }

  LookPace pace_;
  uint32_t tick_ = 0;
  uint32_t looked_ = 0;
  uint64_t now_ = 0;
  int global_turns_ = 0;
};

TEST_F(LookPaceTest, WithoutAPollerOnlyTheGlobalQueueHasItsTurn) {
  const std::vector<uint32_t> distances = Run(61 * 100, 1'000'000, /*poller=*/false);
  EXPECT_EQ(distances, std::vector<uint32_t>(100, LookPace::kGlobalPeriod));
  EXPECT_EQ(global_turns_, 100);
}

TEST_F(LookPaceTest, ShortTasksPayForNoFurtherLook) {
  const std::vector<uint32_t> distances = Run(61 * 100, 10);
  EXPECT_EQ(distances, std::vector<uint32_t>(100, LookPace::kGlobalPeriod));
}

TEST_F(LookPaceTest, AfterTheFirstLookLongTasksAreFollowedByOne) {
  const std::vector<uint32_t> distances = Run(200, 20'000);
  ASSERT_EQ(distances.size(), 200 - 60u);
  EXPECT_EQ(distances.front(), LookPace::kGlobalPeriod);
  EXPECT_EQ(std::vector(distances.begin() + 1, distances.end()), std::vector<uint32_t>(139, 1));
}

TEST_F(LookPaceTest, LooksComeAtEvenDistancesOfTime) {
  for (const int64_t ns : {600, 1'000, 3'000, 7'000, 12'000}) {
    Run(1000, ns);
    const int64_t looks = static_cast<int64_t>(Run(10'000, ns).size());
    const int64_t apart = 10'000 * ns / looks;
    EXPECT_LE(apart, kApartNs + 100) << ns;  // and what the counter's pace is rounded by
    EXPECT_GE(apart, kApartNs / 2) << ns;
  }
}

TEST_F(LookPaceTest, ItTakesAFewLooksToComeBackFromALongTask) {
  Run(1000, 10);
  Run(61, 1'000'000'000);
  const std::vector<uint32_t> distances = Run(1000, 10);
  EXPECT_LE(distances.size(), 1000 / LookPace::kGlobalPeriod + 20);
  EXPECT_EQ(distances[0], 1u);
  EXPECT_EQ(distances.back(), LookPace::kGlobalPeriod);
}

TEST_F(LookPaceTest, TheGlobalQueueHasItsTurnWhateverThePoller) {
  for (const int64_t ns : {10, 1'000, 5'000, 100'000}) {
    global_turns_ = 0;
    Run(61 * 1000, ns);
    EXPECT_NEAR(global_turns_, 1000, 1) << ns;
  }
}

TEST_F(LookPaceTest, SleepIsNotTakenForALongTask) {
  for (int i = 0; i < 610; ++i) {
    for (const uint32_t distance : Run(10, 10)) EXPECT_EQ(distance, LookPace::kGlobalPeriod);
    now_ += TicksOf(1'000'000);
    pace_.Restart(tick_, now_);
  }
  EXPECT_EQ(global_turns_, 100);
}

TEST_F(LookPaceTest, TicksThatAreLeftOutAndThatWrapAroundMakeNoLookLate) {
  for (const uint32_t left_out : {100u, UINT32_MAX / 2, UINT32_MAX / 2 - 2000}) {
    tick_ += left_out;
    EXPECT_TRUE(pace_.IsDue(tick_));
    Run(1000, 10);
    EXPECT_LE(tick_ - looked_, LookPace::kGlobalPeriod);
  }
  EXPECT_LT(tick_, UINT32_MAX / 2);  // it has wrapped around
}

}  // namespace
}  // namespace curg::internal
