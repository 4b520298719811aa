// SPDX-License-Identifier: Apache-2.0
#include "export/interval_index.h"

#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

constexpr uint32_t kNone = IntervalIndex::kNone;

TEST(IntervalIndex, Empty) {
  IntervalIndex index;
  index.Build();
  EXPECT_EQ(index.Find(0), kNone);
  EXPECT_EQ(index.Find(UINT64_MAX), kNone);
}

TEST(IntervalIndex, TheInnermostWins) {
  IntervalIndex index;
  index.Add(10, 100, 0, 0);
  index.Add(20, 50, 1, 0);
  index.Add(30, 40, 2, 0);
  index.Add(40, 50, 3, 0);
  index.Add(200, 300, 4, 0);
  index.Add(70, 70, 5, 0);  // empty
  index.Build();
  const std::pair<uint64_t, uint32_t> kCases[] = {
      {9, kNone},   {10, 0},      {19, 0},  {20, 1},  {29, 1},     {30, 2},
      {39, 2},      {40, 3},      {49, 3},  {50, 0},  {70, 0},     {99, 0},
      {100, kNone}, {199, kNone}, {200, 4}, {299, 4}, {300, kNone}};
  for (const auto& [address, value] : kCases) EXPECT_EQ(index.Find(address), value) << address;
}

TEST(IntervalIndex, OfEqualRangesTheHigherRankWins) {
  for (const bool reversed : {false, true}) {
    IntervalIndex index;
    index.Add(10, 20, reversed ? 1 : 0, reversed ? 7 : 3);
    index.Add(10, 20, reversed ? 0 : 1, reversed ? 3 : 7);
    index.Build();
    EXPECT_EQ(index.Find(15), 1u);
    EXPECT_EQ(index.Find(20), kNone);
  }
}

TEST(IntervalIndex, OverlappingRangesDoNoHarm) {
  IntervalIndex index;
  index.Add(10, 30, 0, 0);
  index.Add(20, 40, 1, 0);
  index.Build();
  EXPECT_EQ(index.Find(15), 0u);
  EXPECT_EQ(index.Find(25), 1u);
  EXPECT_EQ(index.Find(35), 1u);
  EXPECT_EQ(index.Find(40), kNone);
}

// Against the definition, on random trees of ranges.
TEST(IntervalIndex, AgreesWithSearchingAll) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    struct Range {
      uint64_t begin, end;
    };
    std::vector<Range> ranges;
    // Splits [begin, end) at random, so that all nest.
    auto split = [&](auto&& self, uint64_t begin, uint64_t end, int depth) -> void {
      if (begin >= end || depth == 0) return;
      ranges.push_back({begin, end});
      const uint64_t middle = begin + random() % (end - begin);
      self(self, begin, middle, depth - 1);
      if (random() % 2 == 0) self(self, middle, end - (random() % 2), depth - 1);
    };
    split(split, random() % 50, 50 + random() % 200, 5);
    IntervalIndex index;
    for (uint32_t i = 0; i < ranges.size(); ++i) index.Add(ranges[i].begin, ranges[i].end, i, i);
    index.Build();
    for (uint64_t address = 0; address < 260; ++address) {
      uint32_t expected = kNone;
      for (uint32_t i = 0; i < ranges.size(); ++i) {
        const bool inside = ranges[i].begin <= address && address < ranges[i].end;
        if (inside && (expected == kNone || ranges[i].end - ranges[i].begin <=
                                                ranges[expected].end - ranges[expected].begin)) {
          expected = i;
        }
      }
      ASSERT_EQ(index.Find(address), expected) << "round " << round << " address " << address;
    }
  }
}

}  // namespace
}  // namespace curg::internal
