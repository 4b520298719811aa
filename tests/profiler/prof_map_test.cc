// SPDX-License-Identifier: Apache-2.0
#include "profiler/prof_map.h"

#include <atomic>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "profiler/pseudo_frames.h"
#include "tests/profiler/counted_tag.h"

namespace curg::internal {
namespace {

using Pcs = std::vector<uintptr_t>;
constexpr size_t kMegabyte = 1 << 20;

TEST(ProfMap, SumsSamplesOfTheSameStack) {
  ProfMap map(kMegabyte);
  const Pcs stack = {1, 2, 3};
  map.Add({.pcs = stack}, 1, 1);
  map.Add({.pcs = Pcs{1, 2, 3}}, 1, 4);
  map.Add({.pcs = Pcs{1, 2}}, 1, 1);
  map.Add({.pcs = Pcs{1, 2, 3, 4}}, 2, 2);
  map.Add({.pcs = Pcs{3, 2, 1}}, 1, 1);
  EXPECT_EQ(map.size(), 4u);

  const std::vector<CpuProfileEntry> entries = map.Take();
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[0].pcs, stack);  // most periods first
  EXPECT_EQ(entries[0].samples, 2);
  EXPECT_EQ(entries[0].weight, 5);
  EXPECT_EQ(entries[1].pcs, (Pcs{1, 2, 3, 4}));
}

TEST(ProfMap, TellsTagsKindsAndTruncationApart) {
  std::atomic<int> alive{0};
  ProfMap map(kMegabyte);
  const TagRef a = TagRef::Adopt(new CountedTag(alive));
  const TagRef b = TagRef::Adopt(new CountedTag(alive));
  const Pcs pcs = {7};
  map.Add({.pcs = pcs, .tag = a.get()}, 1, 1);
  map.Add({.pcs = pcs, .tag = b.get()}, 1, 1);
  map.Add({.pcs = pcs}, 1, 1);
  map.Add({.pcs = pcs, .kind = SampleKind::kForeign}, 1, 1);
  map.Add({.pcs = pcs, .truncated = true}, 1, 1);
  map.Add({.pcs = pcs, .tag = a.get()}, 1, 1);
  EXPECT_EQ(map.Take().size(), 5u);
}

TEST(ProfMap, AnEmptyStackIsAStack) {
  ProfMap map(kMegabyte);
  map.Add({}, 1, 1);
  map.Add({}, 1, 1);
  const std::vector<CpuProfileEntry> entries = map.Take();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_TRUE(entries[0].pcs.empty());
  EXPECT_EQ(entries[0].samples, 2);
}

TEST(ProfMap, KeepsTagsAliveAndLetsThemGo) {
  std::atomic<int> alive{0};
  {
    ProfMap map(kMegabyte);
    TagRef tag = TagRef::Adopt(new CountedTag(alive));
    map.Add({.pcs = Pcs{1}, .tag = tag.get()}, 1, 1);
    map.Add({.pcs = Pcs{2}, .tag = tag.get()}, 1, 1);
    tag = {};
    EXPECT_EQ(alive.load(), 1);
    std::vector<CpuProfileEntry> entries = map.Take();
    EXPECT_EQ(alive.load(), 1);
    entries.clear();
    EXPECT_EQ(alive.load(), 0);

    tag = TagRef::Adopt(new CountedTag(alive));
    map.Add({.pcs = Pcs{1}, .tag = tag.get()}, 1, 1);
  }
  EXPECT_EQ(alive.load(), 0);
}

TEST(ProfMap, IsEmptyAfterTake) {
  ProfMap map(kMegabyte);
  map.Add({.pcs = Pcs{1}}, 1, 1);
  EXPECT_EQ(map.Take().size(), 1u);
  EXPECT_EQ(map.size(), 0u);
  EXPECT_EQ(map.bytes(), 0u);
  map.Add({.pcs = Pcs{1}}, 1, 1);
  const std::vector<CpuProfileEntry> entries = map.Take();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].samples, 1);
}

TEST(ProfMap, CountsInOneEntryWhatExceedsItsBound) {
  std::atomic<int> alive{0};
  ProfMap map(16 << 10);
  for (uintptr_t i = 0; i < 1000; ++i) {
    const TagRef tag = TagRef::Adopt(new CountedTag(alive));
    map.Add({.pcs = Pcs{i, 1, 2, 3}, .tag = tag.get()}, 1, 2);
  }
  EXPECT_LE(map.bytes(), 16u << 10);
  const auto kept = static_cast<int64_t>(map.size());
  EXPECT_GT(kept, 10);
  EXPECT_EQ(map.overflow_samples(), 1000 - kept);
  EXPECT_EQ(alive.load(), kept);  // the tags of what overflowed are not kept

  // What it knows it goes on counting.
  map.Add({.pcs = Pcs{5000}}, 1, 1);
  EXPECT_EQ(map.overflow_samples(), 1000 - kept + 1);

  int64_t samples = 0;
  int64_t periods = 0;
  bool overflow = false;
  for (const CpuProfileEntry& entry : map.Take()) {
    samples += entry.samples;
    periods += entry.weight;
    if (entry.kind != SampleKind::kOverflow) continue;
    overflow = true;
    EXPECT_EQ(entry.pcs, Pcs{PseudoLeaf(&OverflowBucket)});
    EXPECT_FALSE(entry.tag);
    EXPECT_EQ(entry.samples, 1000 - kept + 1);
  }
  EXPECT_TRUE(overflow);
  EXPECT_EQ(samples, 1001);
  EXPECT_EQ(periods, 2001);
  EXPECT_EQ(alive.load(), 0);
}

TEST(ProfMap, HoldsManyStacks) {
  ProfMap map(64 * kMegabyte);
  for (int round = 0; round < 3; ++round) {
    for (uintptr_t i = 0; i < 20'000; ++i) map.Add({.pcs = Pcs(1 + i % 40, i)}, 1, 1);
  }
  EXPECT_EQ(map.size(), 20'000u);
  EXPECT_EQ(map.overflow_samples(), 0);
  for (const CpuProfileEntry& entry : map.Take()) EXPECT_EQ(entry.samples, 3);
}

TEST(PseudoFrames, HaveAddressesOfTheirOwn) {
  const std::vector<PseudoFrame> frames = {TaskSwitch,     LostSamples, OverflowBucket,
                                           TruncatedStack, BrokenStack, UnknownStack,
                                           ForeignThread,  SpawnedBy};
  for (size_t i = 0; i < frames.size(); ++i) {
    frames[i]();  // real functions
    for (size_t j = 0; j < i; ++j) EXPECT_NE(PseudoLeaf(frames[i]), PseudoLeaf(frames[j]));
    for (size_t j = 0; j < i; ++j) EXPECT_NE(PseudoCaller(frames[i]), PseudoLeaf(frames[j]));
  }
}

}  // namespace
}  // namespace curg::internal
