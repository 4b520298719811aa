// SPDX-License-Identifier: Apache-2.0
//
// ExactCpu: what the runtime's threads spent for each tag, counted at every switch and change of
// tag (runtime/cpu_meter.h) instead of sampled; and how a profile's label totals are made to agree
// with it.
//
// Sampling says where in the code the time of a tag went, and is blind to what keeps step with it:
// a task that wakes with the kernel's tick and sleeps again before the next is never met by a
// timer. Counting knows nothing of code, but every nanosecond's tag.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "profiler/cpu_profile.h"
#include "runtime/cpu_meter.h"
#include "runtime/tag.h"

namespace curg::internal {

// Sums by tag. Thread-compatible. A value; it keeps its tags alive.
class TagSums {
 public:
  void Add(const Tag* tag, int64_t ns);
  int64_t Of(const Tag* tag) const;
  const std::unordered_map<const Tag*, CpuTotals::Sum>& sums() const { return sums_; }

 private:
  std::unordered_map<const Tag*, CpuTotals::Sum> sums_;  // null: no tag
};

// CPU time of the runtime's threads.
struct ExactCpu {
  TagSums tasks = {};
  int64_t runtime_ns = 0;  // between tasks, and the runtime's own
  int64_t unknown_ns = 0;  // of nobody knows which tag
  // While the meters slept or had given up: to be given to those who were sampled then.
  int64_t unmetered_ns = 0;
};

// Whose a slice of a thread that has not ended is.
struct SliceOwner {
  bool runtime = false;  // the runtime's
  TagRef tag;            // of a task
};
// The owner of the slice that `tid` has been in since `since` (the clock of samples), if it is
// known.
using FindSliceOwner = absl::FunctionRef<std::optional<SliceOwner>(pid_t tid, uint64_t since)>;

// `totals`, with what is in flight given to its owners.
ExactCpu ExactCpuOf(const CpuTotals& totals, FindSliceOwner owner);

// What was spent from `begin` to `end`.
ExactCpu Difference(const ExactCpu& begin, const ExactCpu& end);

// What a profile's samples of the runtime's threads add up to, by the tag that the task had.
struct SampledCpu {
  TagSums tasks = {};
  int64_t runtime_ns = 0;
  // Of these, what was sampled while nothing was metered.
  TagSums unmetered_tasks = {};
  int64_t unmetered_runtime_ns = 0;
  // The tag a task had, where the entry's is another one (sample_tagger.h).
  std::unordered_map<const Tag*, TagRef> origins = {};
};

// `used`, with what was not metered given to tags and the runtime as it was sampled.
ExactCpu Completed(const ExactCpu& used, const SampledCpu& sampled);

// Scales the entries of each tag, and of the runtime, so that they add up to `used`; up to the
// double, since then most of what they stand for was never seen. What is missing beyond becomes an
// entry of the tag with the one frame curg::NotSampled. Notes in `quality` how much was moved.
// Returns the nanoseconds missing that have no tag, or too few for an entry.
[[nodiscard]] int64_t Reconcile(const ExactCpu& used, const SampledCpu& sampled,
                                std::vector<CpuProfileEntry>& entries, CpuProfileQuality& quality);

}  // namespace curg::internal
