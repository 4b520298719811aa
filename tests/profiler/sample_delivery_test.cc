// SPDX-License-Identifier: Apache-2.0
//
// From prof buffers to consumers, without signals.
#include "profiler/sample_delivery.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "profiler/pseudo_frames.h"
#include "profiler/sample_tagger.h"
#include "tests/profiler/counted_tag.h"

namespace curg::internal {
namespace {

using Pcs = std::vector<uintptr_t>;
constexpr int64_t kMs = 1'000'000;

// A buffer with room for a few records, and a consumer. The thread's counter cannot be read unless
// a test says so.
class SampleDeliveryTest : public testing::Test {
 protected:
  bool Write(ProfHeader header, const Pcs& pcs) {
    const std::span<uintptr_t> room = buffer_.BeginWrite();
    if (room.empty()) {
      buffer_.Lose(header.time, header.periods);
      return false;
    }
    std::copy(pcs.begin(), pcs.end(), room.begin());
    if (header.tag != nullptr) header.tag->Ref();
    buffer_.CommitWrite(header, pcs.size());
    return true;
  }

  SampleDeliveryTest() {
    thread_.buffer = &buffer_;
    thread_.period = kMs;
    delivery_.Add(&consumer_);
    consumer_.Begin();
  }

  void Deliver(std::optional<int64_t> count = std::nullopt, bool level = false) {
    delivery_.Deliver(thread_, level, [count] { return count; });
  }

  CpuProfile Finish() {
    consumer_.End();
    return consumer_.Take({});
  }

  std::vector<uint64_t> words_ = std::vector<uint64_t>(256);
  ProfBuf buffer_{words_, 16};
  ThreadSampler thread_;
  SampleDelivery delivery_;
  ProfConsumer consumer_{{.sampler = {.period_ns = kMs, .depth_max = 16}}};
};

TEST_F(SampleDeliveryTest, CountsWhatItDrains) {
  std::atomic<int> alive{0};
  TagRef tag = TagRef::Adopt(new CountedTag(alive));
  ASSERT_TRUE(Write({.periods = 1, .tag = tag.get()}, {1, 2, 3}));
  ASSERT_TRUE(Write({.periods = 3, .tag = tag.get()}, {1, 2, 3}));
  ASSERT_TRUE(Write({.kind = SampleKind::kRuntime, .periods = 1}, {9}));
  Deliver();
  tag = {};

  CpuProfile profile = Finish();
  EXPECT_EQ(profile.period_ns, 1'000'000);
  EXPECT_EQ(profile.quality.samples, 3);
  EXPECT_EQ(profile.quality.overruns, 2);
  ASSERT_EQ(profile.entries.size(), 2u);
  EXPECT_EQ(profile.entries[0].pcs, (Pcs{1, 2, 3}));
  EXPECT_EQ(profile.entries[0].samples, 2);
  EXPECT_EQ(profile.entries[0].weight, 4 * kMs);
  EXPECT_TRUE(profile.entries[0].tag);
  EXPECT_EQ(profile.entries[1].kind, SampleKind::kRuntime);
  EXPECT_EQ(alive.load(), 1);  // the profile has it
  profile = {};
  Deliver();  // forgets the last records
  EXPECT_EQ(alive.load(), 0);
}

TEST_F(SampleDeliveryTest, EndsIncompleteStacksInWhatSaysWhy) {
  ASSERT_TRUE(Write({.shape = StackShape::kTruncated, .periods = 5}, {1}));
  ASSERT_TRUE(Write({.shape = StackShape::kNoRow, .periods = 4}, {1}));
  ASSERT_TRUE(Write({.shape = StackShape::kLeafOnly, .periods = 3}, {1}));
  ASSERT_TRUE(
      Write({.kind = SampleKind::kForeign, .shape = StackShape::kLeafOnly, .periods = 2}, {1}));
  ASSERT_TRUE(Write({.shape = StackShape::kSwitch, .periods = 1}, {PseudoLeaf(&TaskSwitch)}));
  Deliver();
  const CpuProfile profile = Finish();
  ASSERT_EQ(profile.entries.size(), 5u);
  EXPECT_EQ(profile.entries[0].pcs, (Pcs{1, PseudoCaller(&TruncatedStack)}));
  EXPECT_TRUE(profile.entries[0].truncated);
  EXPECT_EQ(profile.entries[1].pcs, (Pcs{1, PseudoCaller(&BrokenStack)}));
  EXPECT_EQ(profile.entries[2].pcs, (Pcs{1, PseudoCaller(&UnknownStack)}));
  EXPECT_EQ(profile.entries[3].pcs, (Pcs{1, PseudoCaller(&ForeignThread)}));
  EXPECT_EQ(profile.entries[4].pcs, (Pcs{PseudoLeaf(&TaskSwitch)}));
  EXPECT_EQ(profile.quality.truncated, 1);
  EXPECT_EQ(profile.quality.failed_unwinds, 3);
  EXPECT_EQ(profile.quality.failed_no_row, 1);
  EXPECT_EQ(profile.quality.failed_bad_frame, 0);
  EXPECT_EQ(profile.quality.failed_no_bounds, 2);
  EXPECT_EQ(profile.quality.switches, 1);
}

// Samples before time 100 keep their tags; later ones get the tagger's.
class LateTagger : public SampleTagger {
 public:
  explicit LateTagger(TagRef late) : late_(std::move(late)) {}
  TagRef TagOf(const Tag* tag, uint64_t time) override {
    return time < 100 ? TagRef::Share(tag) : late_;
  }

 private:
  TagRef late_;
};

TEST_F(SampleDeliveryTest, AsksTheTaggerForTheTagAtThatTime) {
  std::atomic<int> alive{0};
  const TagRef own = TagRef::Adopt(new CountedTag(alive));
  const TagRef late = TagRef::Adopt(new CountedTag(alive));
  {
    LateTagger tagger(late);
    TheSampleTagger() = &tagger;
    ASSERT_TRUE(Write({.time = 99, .periods = 3, .tag = own.get()}, {1}));
    ASSERT_TRUE(Write({.time = 100, .periods = 1, .tag = own.get()}, {1}));
    ASSERT_TRUE(Write({.kind = SampleKind::kForeign, .time = 101, .periods = 1}, {2}));
    Deliver();
    TheSampleTagger() = nullptr;
  }
  const CpuProfile profile = Finish();
  ASSERT_EQ(profile.entries.size(), 3u);
  EXPECT_EQ(profile.entries[0].tag, own);
  EXPECT_EQ(profile.entries[1].tag, late);
  EXPECT_EQ(profile.entries[2].tag, late);
}

// At the end of a profile what was lost last is told although nothing was written after it.
TEST_F(SampleDeliveryTest, ReadAtEndAfterOverflow) {
  int64_t written = 0;
  while (Write({.periods = 1}, Pcs(16, 7))) ++written;
  buffer_.Lose(5, 10);
  Deliver();
  const CpuProfile profile = Finish();
  EXPECT_EQ(profile.quality.samples, written);
  EXPECT_EQ(profile.quality.lost_samples, 2);
  EXPECT_EQ(profile.quality.lost_weight, 11 * kMs);
  ASSERT_EQ(profile.entries.size(), 2u);
  EXPECT_EQ(profile.entries[1].kind, SampleKind::kLost);
  EXPECT_EQ(profile.entries[1].pcs, Pcs{PseudoLeaf(&LostSamples)});
  EXPECT_EQ(profile.entries[1].samples, 2);
  EXPECT_EQ(profile.entries[1].weight, 11 * kMs);
}

int64_t WeightOf(const CpuProfile& profile) {
  int64_t weight = 0;
  for (const CpuProfileEntry& entry : profile.entries) weight += entry.weight;
  return weight;
}

TEST_F(SampleDeliveryTest, WhatTheCounterSaysBeyondTheSignalsIsShared) {
  thread_.credit.behind_max = 2 * kMs;
  ASSERT_TRUE(Write({.periods = 1}, {1}));
  ASSERT_TRUE(Write({.periods = 3}, {2}));
  Deliver(/*count=*/40 * kMs);
  const CpuProfile profile = Finish();
  ASSERT_EQ(profile.entries.size(), 2u);
  EXPECT_EQ(profile.entries[0].weight, 30 * kMs);
  EXPECT_EQ(profile.entries[1].weight, 10 * kMs);
  EXPECT_EQ(profile.quality.counted_weight, 36 * kMs);
  EXPECT_EQ(profile.quality.samples, 2);
}

// A thread that ends before its first signal, or long after its last.
TEST_F(SampleDeliveryTest, WhatNoSignalCarriedIsAnEntryOfItsOwn) {
  Deliver(/*count=*/7 * kMs);  // nothing to deliver, so not asked
  Deliver(/*count=*/7 * kMs, /*level=*/true);
  const CpuProfile profile = Finish();
  ASSERT_EQ(profile.entries.size(), 1u);
  EXPECT_EQ(profile.entries[0].kind, SampleKind::kNotSampled);
  EXPECT_EQ(profile.entries[0].pcs, Pcs{PseudoLeaf(&NotSampled)});
  EXPECT_EQ(profile.entries[0].weight, 7 * kMs);
  EXPECT_EQ(profile.entries[0].samples, 0);
  EXPECT_EQ(profile.quality.counted_weight, 7 * kMs);
}

// The same of one that had samples before: that was for their tag.
TEST_F(SampleDeliveryTest, WhatComesAfterTheLastSampleHasItsTag) {
  std::atomic<int> alive{0};
  {
    const TagRef tag = TagRef::Adopt(new CountedTag(alive));
    ASSERT_TRUE(Write({.periods = 1, .tag = tag.get()}, {1}));
    Deliver(/*count=*/kMs);
    Deliver(/*count=*/8 * kMs, /*level=*/true);
    const CpuProfile profile = Finish();
    ASSERT_EQ(profile.entries.size(), 2u);
    const bool first = profile.entries[0].kind == SampleKind::kNotSampled;
    const CpuProfileEntry& unseen = profile.entries[first ? 0 : 1];
    EXPECT_EQ(unseen.kind, SampleKind::kNotSampled);
    EXPECT_EQ(unseen.pcs, Pcs{PseudoLeaf(&NotSampled)});
    EXPECT_EQ(unseen.tag, tag);
    EXPECT_EQ(unseen.weight, 7 * kMs);
    EXPECT_EQ(unseen.samples, 0);
  }
  delivery_.Remove(&consumer_);
  EXPECT_EQ(alive, 0);
}

TEST_F(SampleDeliveryTest, ThreadsThatNobodySawAreAnEntryOfTheirOwn) {
  ASSERT_TRUE(Write({.periods = 1}, {1}));
  Deliver();
  EXPECT_EQ(delivery_.given(), kMs);
  consumer_.AddUnseen(7 * kMs, 2 * kMs);
  const CpuProfile profile = Finish();
  ASSERT_EQ(profile.entries.size(), 2u);
  EXPECT_EQ(profile.entries[1].kind, SampleKind::kNotSampled);
  EXPECT_EQ(profile.entries[1].pcs, Pcs{PseudoLeaf(&UnseenThreads)});
  EXPECT_EQ(profile.entries[1].weight, 7 * kMs);
  EXPECT_EQ(profile.quality.unseen_weight, 7 * kMs);
  EXPECT_EQ(profile.quality.counted_weight, 7 * kMs);
}

TEST_F(SampleDeliveryTest, WhatMayBeNothingIsNoEntry) {
  consumer_.AddUnseen(7 * kMs, 8 * kMs);  // blurred
  consumer_.AddUnseen(kMs / 2, 0);        // less than a period
  consumer_.AddUnseen(-3 * kMs, 0);       // more was given to ended threads than they had
  const CpuProfile profile = Finish();
  EXPECT_TRUE(profile.entries.empty());
  EXPECT_EQ(profile.quality.unseen_weight, 0);
}

// Each gets what comes while it is there, in its own depth and of its own tags.
TEST_F(SampleDeliveryTest, ConsumersAreIndependent) {
  std::atomic<int> alive{0};
  const TagRef tag = TagRef::Adopt(new CountedTag(alive));
  ProfConsumer shallow({.sampler = {.period_ns = 3 * kMs, .depth_max = 2}});
  ProfConsumer filtered({.sampler = {.period_ns = kMs, .depth_max = 16},
                         .filter = [&](const Tag* t) { return t == tag.get(); }});
  ASSERT_TRUE(Write({.periods = 1}, {1}));
  Deliver();
  delivery_.Add(&shallow);
  delivery_.Add(&filtered);
  ASSERT_TRUE(Write({.periods = 2}, {1, 2, 3}));
  ASSERT_TRUE(Write({.periods = 4, .tag = tag.get()}, {1, 2}));
  Deliver();
  delivery_.Remove(&filtered);
  ASSERT_TRUE(Write({.periods = 8, .tag = tag.get()}, {1}));
  Deliver();

  EXPECT_EQ(WeightOf(Finish()), 15 * kMs);
  const CpuProfile cut = shallow.Take({});
  EXPECT_EQ(WeightOf(cut), 14 * kMs);
  EXPECT_EQ(cut.quality.truncated, 1);
  ASSERT_EQ(cut.entries.size(), 3u);
  EXPECT_EQ(cut.entries[2].pcs, (Pcs{1, 2, PseudoCaller(&TruncatedStack)}));
  const CpuProfile one = filtered.Take({});
  ASSERT_EQ(one.entries.size(), 1u);
  EXPECT_EQ(one.entries[0].tag, tag);
  EXPECT_EQ(one.entries[0].weight, 4 * kMs);
  EXPECT_EQ(one.quality.filtered_weight, 2 * kMs);
}

}  // namespace
}  // namespace curg::internal
