// SPDX-License-Identifier: Apache-2.0
//
// ProfConsumer: one profile that is being taken, of any number that share the sampler. It gets
// every sample, weighed, from the writer, keeps those it was asked for, and becomes a CpuProfile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "profiler/cpu_engine.h"
#include "profiler/cpu_profile.h"
#include "profiler/exact_cpu.h"
#include "profiler/mappings.h"
#include "profiler/prof_buf.h"
#include "profiler/prof_map.h"
#include "profiler/sampler.h"
#include "runtime/cpu_meter.h"
#include "runtime/spawn_stack.h"
#include "runtime/tag.h"

namespace curg::internal {

// A record from a prof buffer, weighed.
struct WeighedSample {
  std::span<const uintptr_t> pcs;  // with the pseudo frame in place of a missing root
  const Tag* tag = nullptr;        // alive during the call
  SampleKind kind = SampleKind::kTask;
  StackShape shape = StackShape::kWhole;
  int64_t samples = 1;
  int64_t periods = 1;
  int64_t weight = 0;
  uint64_t task_id = 0;           // 0: no task's
  const Tag* task_tag = nullptr;  // as the task had it; alive during the call
  uintptr_t spawn = 0;            // as in Where
  bool metered = false;           // of a thread whose use is counted exactly, too, ...
  bool metered_then = false;      // ... also at the time of the sample
};

// What threads have used that are not sampled, from a time on that stays the same: what the process
// has used without what the threads have been or are to be given.
struct UnseenCpu {
  int64_t ns = 0;
  int64_t blur = 0;  // it may be more or less by that, since clocks are read one after the other
};

// Owner only: the writer.
class ProfConsumer {
 public:
  struct Options {
    SamplerOptions sampler;  // the least it needs
    size_t map_bytes_max = 32 << 20;
    std::function<bool(const Tag*)> filter = nullptr;  // null: everything
    int spawners = 0;                                  // spawn stacks to add to each
    bool task_ids = false;                             // tell tasks apart
    // nothing: label totals are sampled
    std::optional<CpuMeter::Wish> exact = CpuMeter::Wish::kTagsIfCheap;
  };

  explicit ProfConsumer(Options options);

  const Options& options() const { return options_; }

  // From now on. The modules are looked at soon after.
  void Begin();
  // The sampler's period changed to that.
  void NotePeriod(int64_t period_ns);
  void Note(std::string note) { quality_.notes.push_back(std::move(note)); }

  void Add(const WeighedSample& sample);
  // Samples that found no room.
  void Lose(int64_t samples, int64_t weight, bool metered);
  // CPU time that no signal carried, given to those it was added to, or (`stackless`) to nobody.
  void Count(int64_t weight, bool stackless, bool metered);
  // Notices modules that came or went; true if any did.
  bool LookAtModules() { return mappings_.Capture(); }

  // What threads that are not sampled have used between Begin and End, give or take `blur`.
  void AddUnseen(int64_t weight, int64_t blur);

  // No samples come any more.
  void End();
  // What there was between Begin and End. `used`: what the runtime's threads spent in that time,
  // with which the labels' totals are made to agree; null: unknown. Once.
  CpuProfile Take(const SamplerCounts& counts, const ExactCpu* used = nullptr);

  // The meters' reading at Begin, and how often they had given up.
  ExactCpu exact_begin;
  uint32_t give_ups_begin = 0;
  UnseenCpu unseen_begin;

 private:
  void CountShape(StackShape shape);
  void AddSpawners(uintptr_t spawn, std::span<const uintptr_t>& pcs);
  void AddPseudoEntry(std::vector<CpuProfileEntry>& entries, SampleKind kind, uintptr_t pc,
                      int64_t samples, int64_t weight) const;
  void NoteUnmetered(const WeighedSample& sample);
  void NoteOrigin(const WeighedSample& sample);
  // Nothing: it could not be. Else as Reconcile.
  std::optional<int64_t> Reconciled(const ExactCpu& used, std::vector<CpuProfileEntry>& entries);
  void NoteTrouble(const SamplerCounts& counts);

  const Options options_;
  ProfMap map_;
  MappingRecorder mappings_;
  CpuProfileQuality quality_;
  std::vector<uintptr_t> stack_;  // scratch
  std::optional<SpawnStackHold> spawn_stacks_;
  struct ByThread {
    int64_t metered = 0;
    int64_t others = 0;
    int64_t& Of(bool is_metered) { return is_metered ? metered : others; }
    int64_t Sum() const { return metered + others; }
  };
  ByThread not_sampled_;
  ByThread lost_weight_;
  SampledCpu sampled_;
  int64_t period_ns_ = 0;
  absl::Time start_ = absl::InfinitePast();
  absl::Time end_ = absl::InfinitePast();
  absl::Duration cpu_start_;
  absl::Duration cpu_end_;
  int64_t stale_start_ = 0;
};

}  // namespace curg::internal
