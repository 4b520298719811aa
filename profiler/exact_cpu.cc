// SPDX-License-Identifier: Apache-2.0
#include "profiler/exact_cpu.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "profiler/pseudo_frames.h"

namespace curg::internal {
namespace {

constexpr double kScaleMax = 2;
constexpr int64_t kEntryMinNs = 1000;  // less is not worth an entry of its own

double Scale(int64_t used, int64_t sampled) {
  if (sampled <= 0) return 1;
  return std::min(static_cast<double>(used) / static_cast<double>(sampled), kScaleMax);
}

int64_t Scaled(int64_t weight, double scale) {
  return static_cast<int64_t>(static_cast<double>(weight) * scale);
}

const Tag* OriginOf(const CpuProfileEntry& entry, const SampledCpu& sampled) {
  const auto it = sampled.origins.find(entry.tag.get());
  return it == sampled.origins.end() ? entry.tag.get() : it->second.get();
}

void AddNotSampled(std::vector<CpuProfileEntry>& entries, TagRef tag, int64_t weight) {
  CpuProfileEntry& entry = entries.emplace_back();
  entry.pcs = {PseudoLeaf(&NotSampled)};
  entry.kind = SampleKind::kNotSampled;
  entry.tag = std::move(tag);
  entry.weight = weight;
}

}  // namespace

void TagSums::Add(const Tag* tag, int64_t ns) {
  const auto [it, is_new] = sums_.try_emplace(tag);
  if (is_new) it->second.tag = TagRef::Share(tag);
  it->second.ns += ns;
}

int64_t TagSums::Of(const Tag* tag) const {
  const auto it = sums_.find(tag);
  return it == sums_.end() ? 0 : it->second.ns;
}

ExactCpu ExactCpuOf(const CpuTotals& totals, FindSliceOwner owner) {
  ExactCpu exact = {.runtime_ns = totals.runtime_ns,
                    .unknown_ns = totals.other_ns,
                    .unmetered_ns = totals.unmetered_ns};
  for (const auto& [tag, sum] : totals.tags) exact.tasks.Add(tag, sum.ns);
  for (const CpuTotals::Slice& slice : totals.slices) {
    const std::optional<SliceOwner> known =
        slice.known ? SliceOwner{.runtime = slice.runtime, .tag = slice.tag}
                    : owner(slice.tid, slice.since);
    if (!known.has_value()) {
      exact.unknown_ns += slice.ns;
    } else if (known->runtime) {
      exact.runtime_ns += slice.ns;
    } else {
      exact.tasks.Add(known->tag.get(), slice.ns);
    }
  }
  return exact;
}

ExactCpu Difference(const ExactCpu& begin, const ExactCpu& end) {
  ExactCpu used = {.runtime_ns = std::max<int64_t>(end.runtime_ns - begin.runtime_ns, 0),
                   .unknown_ns = std::max<int64_t>(end.unknown_ns - begin.unknown_ns, 0),
                   .unmetered_ns = std::max<int64_t>(end.unmetered_ns - begin.unmetered_ns, 0)};
  for (const auto& [tag, sum] : end.tasks.sums()) {
    const int64_t ns = sum.ns - begin.tasks.Of(tag);
    if (ns > 0) used.tasks.Add(tag, ns);
  }
  return used;
}

ExactCpu Completed(const ExactCpu& used, const SampledCpu& sampled) {
  ExactCpu whole = used;
  whole.unmetered_ns = 0;
  int64_t seen = sampled.unmetered_runtime_ns;
  for (const auto& [tag, sum] : sampled.unmetered_tasks.sums()) seen += sum.ns;
  if (seen == 0) {
    whole.unknown_ns += used.unmetered_ns;
    return whole;
  }
  const double scale = static_cast<double>(used.unmetered_ns) / static_cast<double>(seen);
  whole.runtime_ns += Scaled(sampled.unmetered_runtime_ns, scale);
  for (const auto& [tag, sum] : sampled.unmetered_tasks.sums()) {
    whole.tasks.Add(tag, Scaled(sum.ns, scale));
  }
  return whole;
}

int64_t Reconcile(const ExactCpu& used, const SampledCpu& sampled,
                  std::vector<CpuProfileEntry>& entries, CpuProfileQuality& quality) {
  for (CpuProfileEntry& entry : entries) {
    if (entry.kind == SampleKind::kTask) {
      const Tag* const tag = OriginOf(entry, sampled);
      entry.weight = Scaled(entry.weight, Scale(used.tasks.Of(tag), sampled.tasks.Of(tag)));
    } else if (entry.kind == SampleKind::kRuntime) {
      entry.weight = Scaled(entry.weight, Scale(used.runtime_ns, sampled.runtime_ns));
    }
  }
  int64_t nobodys = used.unknown_ns;
  const auto rest = [&](int64_t exact, int64_t seen) {
    quality.moved_weight += std::abs(exact - seen);
    return std::max<int64_t>(exact - Scaled(seen, Scale(exact, seen)), 0);
  };
  nobodys += rest(used.runtime_ns, sampled.runtime_ns);
  for (const auto& [tag, sum] : used.tasks.sums()) {
    const int64_t missing = rest(sum.ns, sampled.tasks.Of(tag));
    if (missing < kEntryMinNs) {
      nobodys += missing;
    } else {
      AddNotSampled(entries, sum.tag, missing);
    }
  }
  quality.exact_tags = static_cast<int64_t>(used.tasks.sums().size());
  return nobodys;
}

}  // namespace curg::internal
