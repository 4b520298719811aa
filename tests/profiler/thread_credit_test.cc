// SPDX-License-Identifier: Apache-2.0
#include "profiler/thread_credit.h"

#include <cstdint>
#include <numeric>
#include <optional>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

TEST(ThreadCredit, SignalsStandForTheirPeriodsWhileTheyKeepUp) {
  ThreadCredit credit = {.behind_max = 15};
  EXPECT_EQ(credit.Give(10, 12, false), 10);
  EXPECT_EQ(credit.Give(10, 24, false), 10);
  EXPECT_EQ(credit.Give(0, 29, false), 0);
  EXPECT_EQ(credit.given, 20);
}

// The first signal comes before a period is over.
TEST(ThreadCredit, NeverExceedsTheCounter) {
  ThreadCredit credit = {.behind_max = 15};
  EXPECT_EQ(credit.Give(10, 3, false), 3);
  EXPECT_EQ(credit.Give(10, 13, false), 10);
}

// It was due after 4 of 10; before the timer was made, 50 had been used.
TEST(ThreadCredit, TheFirstSignalStandsForWhatThereWasUntilItWasDue) {
  ThreadCredit credit = {.given = -50, .behind_max = 100, .first_extra = 50 - 6};
  EXPECT_EQ(credit.Give(0, 1, false), 0);
  EXPECT_EQ(credit.Give(20, 19, false), 64);
  EXPECT_EQ(credit.Give(10, 27, false), 10);
  EXPECT_EQ(credit.Give(0, 29, true), 5);
}

// A thread's counter is gone with it. Over all first expiries, what is given is what was used.
TEST(ThreadCredit, IsRightOnAverageWhereTheEndIsUnseen) {
  constexpr int64_t kPeriod = 1000;
  for (const int64_t used : {100, 700, 1500, 10'250}) {
    int64_t sum = 0;
    for (int64_t first = 1; first <= kPeriod; ++first) {
      ThreadCredit credit = {.given = -kPeriod,
                             .behind_max = 2 * kPeriod,
                             .first_extra = kPeriod + first - kPeriod,
                             .unseen_end = kPeriod / 2};
      const int64_t signals = used < first ? 0 : 1 + (used - first) / kPeriod;
      sum += credit.Give(signals * kPeriod, std::nullopt, true);
    }
    EXPECT_NEAR(static_cast<double>(sum) / kPeriod, static_cast<double>(kPeriod + used), 1);
  }
}

TEST(ThreadCredit, CatchesUpWhenSignalsWereLost) {
  ThreadCredit credit = {.behind_max = 15};
  EXPECT_EQ(credit.Give(10, 100, false), 100);
  EXPECT_EQ(credit.Give(10, 112, false), 10);
}

TEST(ThreadCredit, GivesAllWhenItIsBroughtLevel) {
  ThreadCredit credit = {.behind_max = 15};
  EXPECT_EQ(credit.Give(10, 17, true), 17);
  EXPECT_EQ(credit.Give(0, 21, true), 4);
  EXPECT_EQ(credit.Give(10, 23, true), 2);
}

TEST(ThreadCredit, WhatWasUsedBeforeGoesToTheFirstSignals) {
  ThreadCredit credit = {.given = -50, .behind_max = 100, .level_next = true};
  EXPECT_EQ(credit.Give(0, 5, false), 0);
  EXPECT_EQ(credit.Give(10, 8, false), 58);
  EXPECT_EQ(credit.Give(10, 18, false), 10);
}

TEST(ThreadCredit, BelievesTheSignalsWhereThereIsNoCounter) {
  ThreadCredit credit;
  EXPECT_EQ(credit.Give(30, std::nullopt, true), 30);
  EXPECT_EQ(credit.Give(0, std::nullopt, true), 0);
}

// However signals come, merge and get lost, the sum is the counter's.
TEST(ThreadCredit, SumsAreTheCountersAtTheEnd) {
  std::mt19937 random(1);
  for (int round = 0; round < 1000; ++round) {
    ThreadCredit credit = {.behind_max = 20};
    int64_t count = 0;
    int64_t sum = 0;
    for (int i = 0; i < 50; ++i) {
      count += static_cast<int64_t>(random() % 40);
      const int64_t given = credit.Give(static_cast<int64_t>(random() % 4 * 10), count, false);
      ASSERT_GE(given, 0);
      sum += given;
      ASSERT_LE(sum, count);
    }
    sum += credit.Give(0, count, true);
    ASSERT_EQ(sum, count);
  }
}

TEST(Share, KeepsProportionsAndTheSum) {
  std::vector<int64_t> weights = {1, 0, 3, 6};
  Share(100, weights);
  EXPECT_EQ(weights, (std::vector<int64_t>{10, 0, 30, 60}));
  std::vector<int64_t> thirds = {5, 5, 5};
  Share(100, thirds);
  EXPECT_EQ(std::accumulate(thirds.begin(), thirds.end(), int64_t{0}), 100);
  for (const int64_t third : thirds) EXPECT_NEAR(static_cast<double>(third), 33.3, 1);
  std::vector<int64_t> none = {3, 4};
  Share(0, none);
  EXPECT_EQ(none, (std::vector<int64_t>{0, 0}));
}

TEST(Share, OfLargeNumbersDoesNotOverflow) {
  std::vector<int64_t> weights = {int64_t{1} << 60, int64_t{1} << 60};
  Share(int64_t{1} << 61, weights);
  Share(int64_t{1} << 40, weights);
  EXPECT_EQ(weights[0], int64_t{1} << 39);
}

}  // namespace
}  // namespace curg::internal
