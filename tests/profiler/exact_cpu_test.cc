// SPDX-License-Identifier: Apache-2.0
#include "profiler/exact_cpu.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "profiler/pseudo_frames.h"
#include "tests/profiler/counted_tag.h"

namespace curg::internal {
namespace {

constexpr int64_t kMs = 1'000'000;

class ExactCpuTest : public testing::Test {
 protected:
  void Entry(const TagRef& tag, int64_t weight, SampleKind kind = SampleKind::kTask) {
    CpuProfileEntry& entry = entries_.emplace_back();
    entry.pcs = {1};
    entry.tag = tag;
    entry.kind = kind;
    entry.weight = weight;
    if (kind == SampleKind::kTask) sampled_.tasks.Add(tag.get(), weight);
    if (kind == SampleKind::kRuntime) sampled_.runtime_ns += weight;
  }
  int64_t WeightOf(const TagRef& tag) const {
    int64_t weight = 0;
    for (const CpuProfileEntry& entry : entries_) {
      if (entry.tag == tag) weight += entry.weight;
    }
    return weight;
  }

  std::atomic<int> alive_{0};
  const TagRef a_ = TagRef::Adopt(new CountedTag(alive_));
  const TagRef b_ = TagRef::Adopt(new CountedTag(alive_));
  std::vector<CpuProfileEntry> entries_;
  SampledCpu sampled_;
  CpuProfileQuality quality_;
};

TEST_F(ExactCpuTest, SlicesInFlightGoToTheirOwners) {
  CpuTotals totals;
  totals.tags[a_.get()] = {.tag = a_, .ns = 10};
  totals.runtime_ns = 100;
  totals.slices = {{.tid = 1, .since = 5, .ns = 1},
                   {.tid = 2, .ns = 2},
                   {.tid = 3, .ns = 4},
                   {.tid = 3, .ns = 20, .known = true, .tag = a_},
                   {.tid = 3, .ns = 200, .known = true, .runtime = true}};
  const ExactCpu exact =
      ExactCpuOf(totals, [this](pid_t tid, uint64_t since) -> std::optional<SliceOwner> {
        if (tid == 1) {
          EXPECT_EQ(since, 5u);
          return SliceOwner{.runtime = false, .tag = a_};
        }
        if (tid == 2) return SliceOwner{.runtime = true, .tag = {}};
        return std::nullopt;
      });
  EXPECT_EQ(exact.tasks.Of(a_.get()), 31);
  EXPECT_EQ(exact.runtime_ns, 302);
  EXPECT_EQ(exact.unknown_ns, 4);
}

TEST_F(ExactCpuTest, ADifferenceIsWhatWasSpentBetween) {
  ExactCpu begin = {.runtime_ns = 5, .unknown_ns = 9};
  begin.tasks.Add(a_.get(), 10);
  ExactCpu end = {.runtime_ns = 7, .unknown_ns = 3};
  end.tasks.Add(a_.get(), 10);
  end.tasks.Add(b_.get(), 20);
  const ExactCpu used = Difference(begin, end);
  EXPECT_EQ(used.runtime_ns, 2);
  EXPECT_EQ(used.unknown_ns, 0);
  EXPECT_EQ(used.tasks.sums().size(), 1u);
  EXPECT_EQ(used.tasks.Of(b_.get()), 20);
}

// What was not metered belongs to those who were sampled then, in proportion.
TEST_F(ExactCpuTest, CompletesWhatWasNotMetered) {
  ExactCpu used = {.runtime_ns = 5, .unmetered_ns = 60};
  used.tasks.Add(a_.get(), 10);
  sampled_.unmetered_tasks.Add(a_.get(), 10);
  sampled_.unmetered_tasks.Add(b_.get(), 15);
  sampled_.unmetered_runtime_ns = 5;
  const ExactCpu whole = Completed(used, sampled_);
  EXPECT_EQ(whole.tasks.Of(a_.get()), 30);
  EXPECT_EQ(whole.tasks.Of(b_.get()), 30);
  EXPECT_EQ(whole.runtime_ns, 15);
  EXPECT_EQ(whole.unmetered_ns, 0);
  EXPECT_EQ(Completed(used, {}).unknown_ns, 60);  // nobody was
}

// Samples of each tag keep their proportions and get the counted sum.
TEST_F(ExactCpuTest, ReconcilesEachTag) {
  Entry(a_, 10 * kMs);
  Entry(a_, 30 * kMs);
  Entry(b_, 40 * kMs);
  Entry({}, 10 * kMs, SampleKind::kRuntime);
  ExactCpu used = {.runtime_ns = 5 * kMs};
  used.tasks.Add(a_.get(), 60 * kMs);
  used.tasks.Add(b_.get(), 20 * kMs);
  EXPECT_EQ(Reconcile(used, sampled_, entries_, quality_), 0);
  ASSERT_EQ(entries_.size(), 4u);
  EXPECT_EQ(entries_[0].weight, 15 * kMs);
  EXPECT_EQ(entries_[1].weight, 45 * kMs);
  EXPECT_EQ(entries_[2].weight, 20 * kMs);
  EXPECT_EQ(entries_[3].weight, 5 * kMs);
  EXPECT_EQ(quality_.exact_tags, 2);
  EXPECT_EQ(quality_.moved_weight, 45 * kMs);
}

// What no sample saw, or hardly any, is not laid on the few there are, but marked.
TEST_F(ExactCpuTest, MarksWhatWasNeverSampled) {
  Entry(a_, 10 * kMs);
  ExactCpu used = {.unknown_ns = 3 * kMs};
  used.tasks.Add(a_.get(), 100 * kMs);
  used.tasks.Add(b_.get(), 7 * kMs);
  EXPECT_EQ(Reconcile(used, sampled_, entries_, quality_), 3 * kMs);
  EXPECT_EQ(WeightOf(a_), 100 * kMs);
  EXPECT_EQ(entries_[0].weight, 20 * kMs);
  EXPECT_EQ(WeightOf(b_), 7 * kMs);
  for (size_t i = 1; i < entries_.size(); ++i) {
    EXPECT_EQ(entries_[i].kind, SampleKind::kNotSampled);
    EXPECT_EQ(entries_[i].pcs, std::vector<uintptr_t>{PseudoLeaf(&NotSampled)});
    EXPECT_EQ(entries_[i].samples, 0);
  }
}

// A rest too small for an entry is not the tag's any more, but nor is it an entry of nobody's: a
// profile of one tag only has no room for that.
TEST_F(ExactCpuTest, ReturnsWhatIsNotWorthAnEntry) {
  Entry(a_, 10 * kMs);
  ExactCpu used;
  used.tasks.Add(a_.get(), 10 * kMs);
  used.tasks.Add(b_.get(), 999);
  EXPECT_EQ(Reconcile(used, sampled_, entries_, quality_), 999);
  EXPECT_EQ(entries_.size(), 1u);
}

// An entry that a tagger gave another tag belongs to the task's all the same; foreign threads are
// not the meters' business.
TEST_F(ExactCpuTest, KnowsTheTagThatTheTaskHad) {
  Entry(a_, 10 * kMs);
  entries_[0].tag = b_;
  sampled_.origins.try_emplace(b_.get(), a_);
  Entry({}, 8 * kMs, SampleKind::kForeign);
  ExactCpu used;
  used.tasks.Add(a_.get(), 15 * kMs);
  EXPECT_EQ(Reconcile(used, sampled_, entries_, quality_), 0);
  EXPECT_EQ(WeightOf(b_), 15 * kMs);
  EXPECT_EQ(WeightOf({}), 8 * kMs);
}

}  // namespace
}  // namespace curg::internal
