// SPDX-License-Identifier: Apache-2.0
#include "profiler/prof_consumer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "profiler/cpu_timer.h"
#include "profiler/perf_event.h"
#include "profiler/pseudo_frames.h"
#include "profiler/sigprof.h"
#include "runtime/spawn_stack.h"

namespace curg::internal {
ProfConsumer::ProfConsumer(Options options)
    : options_(std::move(options)),
      map_(options_.map_bytes_max),
      period_ns_(options_.sampler.period_ns) {}

void ProfConsumer::Begin() {
  if (options_.spawners > 0) spawn_stacks_.emplace();
  stale_start_ = StaleSigprofs();
  start_ = absl::Now();
  cpu_start_ = absl::Nanoseconds(ProcessCpuNs());
}

void ProfConsumer::End() {
  end_ = absl::Now();
  spawn_stacks_.reset();
  cpu_end_ = absl::Nanoseconds(ProcessCpuNs());
  mappings_.Capture();
}

void ProfConsumer::NotePeriod(int64_t period_ns) { period_ns_ = std::min(period_ns_, period_ns); }

void ProfConsumer::Add(const WeighedSample& sample) {
  NoteUnmetered(sample);
  if (options_.filter && !options_.filter(sample.tag)) {
    quality_.filtered_weight += sample.weight;
    return;
  }
  NoteOrigin(sample);
  quality_.samples += sample.samples;
  quality_.overruns += sample.periods - sample.samples;
  // Others may have asked for deeper stacks.
  const size_t depth_max = options_.sampler.depth_max;
  std::span<const uintptr_t> pcs = sample.pcs;
  StackShape shape = sample.shape;
  if (pcs.size() > depth_max + 1 || (pcs.size() > depth_max && shape == StackShape::kWhole)) {
    stack_.assign(pcs.begin(), pcs.begin() + static_cast<ptrdiff_t>(depth_max));
    stack_.push_back(PseudoCaller(&TruncatedStack));
    pcs = stack_;
    shape = StackShape::kTruncated;
  }
  CountShape(shape);
  if (options_.spawners > 0 && sample.spawn != 0) AddSpawners(sample.spawn, pcs);
  map_.Add({.pcs = pcs,
            .tag = sample.tag,
            .kind = sample.kind,
            .task_id = options_.task_ids && sample.kind == SampleKind::kTask ? sample.task_id : 0,
            .truncated = shape == StackShape::kTruncated},
           sample.samples, sample.weight);
}

void ProfConsumer::AddSpawners(uintptr_t spawn, std::span<const uintptr_t>& pcs) {
  if (pcs.data() != stack_.data()) stack_.assign(pcs.begin(), pcs.end());
  const bool kept = spawn < kSpawnStacksMax;
  auto number = static_cast<uint32_t>(kept ? spawn : 0);
  std::span<const uintptr_t> spawner = kept ? SpawnStackOf(number) : std::span(&spawn, 1);
  for (int i = 0; i < options_.spawners && !spawner.empty(); ++i) {
    stack_.push_back(PseudoCaller(&SpawnedBy));
    stack_.insert(stack_.end(), spawner.begin(), spawner.end());
    number = SpawnerOf(number);
    spawner = SpawnStackOf(number);
  }
  pcs = stack_;
}

// For Completed, which needs what the filter leaves out as well.
void ProfConsumer::NoteUnmetered(const WeighedSample& sample) {
  if (!sample.metered || sample.metered_then) return;
  if (sample.kind == SampleKind::kRuntime) {
    sampled_.unmetered_runtime_ns += sample.weight;
  } else if (sample.kind == SampleKind::kTask) {
    sampled_.unmetered_tasks.Add(sample.task_tag, sample.weight);
  }
}

// For Reconcile. Tags beyond this many are not told apart by the meters either.
void ProfConsumer::NoteOrigin(const WeighedSample& sample) {
  if (!sample.metered) return;
  if (sample.kind == SampleKind::kRuntime) {
    sampled_.runtime_ns += sample.weight;
  } else if (sample.kind == SampleKind::kTask) {
    sampled_.tasks.Add(sample.task_tag, sample.weight);
    if (sample.tag != sample.task_tag) {
      sampled_.origins.try_emplace(sample.tag, TagRef::Share(sample.task_tag));
    }
  }
}

void ProfConsumer::Lose(int64_t samples, int64_t weight, bool metered) {
  quality_.lost_samples += samples;
  quality_.lost_weight += weight;
  lost_weight_.Of(metered) += weight;
}

void ProfConsumer::Count(int64_t weight, bool stackless, bool metered) {
  quality_.counted_weight += weight;
  if (stackless) not_sampled_.Of(metered) += weight;
}

void ProfConsumer::AddUnseen(int64_t weight, int64_t blur) {
  // Every thread that ends uses some microseconds after it was last looked at.
  if (weight <= std::max(blur, period_ns_)) return;
  quality_.unseen_weight = weight;
  quality_.counted_weight += weight;
}

void ProfConsumer::CountShape(StackShape shape) {
  switch (shape) {
    case StackShape::kWhole:
      return;
    case StackShape::kSwitch:
      ++quality_.switches;
      return;
    case StackShape::kTruncated:
      ++quality_.truncated;
      return;
    case StackShape::kNoRow:
      ++quality_.failed_no_row;
      break;
    case StackShape::kBadFrame:
      ++quality_.failed_bad_frame;
      break;
    case StackShape::kLeafOnly:
      ++quality_.failed_no_bounds;
      break;
  }
  ++quality_.failed_unwinds;
}

void ProfConsumer::AddPseudoEntry(std::vector<CpuProfileEntry>& entries, SampleKind kind,
                                  uintptr_t pc, int64_t samples, int64_t weight) const {
  CpuProfileEntry& entry = entries.emplace_back();
  entry.pcs = {pc};
  entry.kind = kind;
  entry.samples = samples;
  entry.weight = weight;
}

std::optional<int64_t> ProfConsumer::Reconciled(const ExactCpu& used,
                                                std::vector<CpuProfileEntry>& entries) {
  // A filter speaks of the tags that samples are counted under; where those are not the tasks',
  // what the meters have cannot be filtered.
  if (options_.filter && !sampled_.origins.empty()) return std::nullopt;
  ExactCpu wanted = Completed(used, sampled_);
  if (options_.filter) {
    if (!options_.filter(nullptr)) wanted.runtime_ns = wanted.unknown_ns = 0;
    const TagSums all = std::exchange(wanted.tasks, {});
    for (const auto& [tag, sum] : all.sums()) {
      if (options_.filter(tag)) wanted.tasks.Add(tag, sum.ns);
    }
  }
  quality_.unmetered_weight = used.unmetered_ns;
  return Reconcile(wanted, sampled_, entries, quality_);
}

CpuProfile ProfConsumer::Take(const SamplerCounts& counts, const ExactCpu* used) {
  CpuProfile profile;
  profile.period_ns = period_ns_;
  if (!CountsTime(counts.chosen)) {
    profile.event = EventName(counts.chosen);
    profile.unit = "count";
    used = nullptr;
  }
  profile.start = start_;
  profile.duration = end_ - start_;
  quality_.overflow_samples = map_.overflow_samples();
  profile.entries = map_.Take();
  // What the meters have counted, has its tag already, but for the rest.
  if (used != nullptr) {
    if (const auto nobodys = Reconciled(*used, profile.entries)) {
      not_sampled_.metered = *nobodys;
      lost_weight_.metered = 0;
    }
  }
  // Whose time these were, nobody knows: a filtered profile leaves them out.
  if (options_.filter) {
    quality_.filtered_weight += not_sampled_.Sum() + quality_.unseen_weight;
    not_sampled_ = {};
  } else if (quality_.lost_samples != 0) {
    AddPseudoEntry(profile.entries, SampleKind::kLost, PseudoLeaf(&LostSamples),
                   quality_.lost_samples, lost_weight_.Sum());
  }
  if (quality_.unseen_weight != 0 && !options_.filter) {
    AddPseudoEntry(profile.entries, SampleKind::kNotSampled, PseudoLeaf(&UnseenThreads), 0,
                   quality_.unseen_weight);
  }
  if (not_sampled_.Sum() != 0) {
    AddPseudoEntry(profile.entries, SampleKind::kNotSampled, PseudoLeaf(&NotSampled), 0,
                   not_sampled_.Sum());
  }
  profile.mappings = mappings_.Take();
  NoteTrouble(counts);
  profile.quality = std::exchange(quality_, {});
  sampled_ = {};
  return profile;
}

void ProfConsumer::NoteTrouble(const SamplerCounts& counts) {
  quality_.engine = counts.engine;
  quality_.threads = counts.threads;
  quality_.threads_refused = counts.threads_refused;
  quality_.stale_signals = StaleSigprofs() - stale_start_;
  quality_.cpu_time = cpu_end_ - cpu_start_;
  if (!counts.fallback.empty()) Note(counts.fallback);
  if (counts.threads_refused != 0) {
    Note(absl::StrCat(counts.threads_refused, " threads were not sampled: ", counts.refusal, "."));
  }
  if (!counts.scan_failure.empty()) {
    Note(absl::StrCat("Threads the runtime does not know were not sampled: ", counts.scan_failure,
                      "."));
  }
  if (period_ns_ < options_.sampler.period_ns) {
    Note(absl::StrCat("Sampled every ", absl::FormatDuration(absl::Nanoseconds(period_ns_)),
                      ", as another profile asked for at the time."));
  }
  const absl::Duration period = absl::Nanoseconds(period_ns_);
  if (quality_.samples == 0 && !options_.filter && quality_.cpu_time > 10 * period) {
    Note(absl::StrCat("Nothing was recorded although the process used ",
                      absl::FormatDuration(quality_.cpu_time),
                      " of CPU: is SIGPROF blocked, or its handler replaced?"));
  }
}

}  // namespace curg::internal
