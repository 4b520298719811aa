// SPDX-License-Identifier: Apache-2.0
//
// How well a profile went, in words; the same for pprof's comments and for the terminal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/cpu_profile.h"

namespace curg {

// What the entries add up to, by whose time it is.
struct CpuProfileTotals {
  int64_t samples = 0;
  int64_t weight = 0;
  int64_t task_weight = 0;
  int64_t runtime_weight = 0;
  int64_t foreign_weight = 0;
  int64_t lost_weight = 0;         // SampleKind::kLost
  int64_t overflow_weight = 0;     // SampleKind::kOverflow
  int64_t not_sampled_weight = 0;  // SampleKind::kNotSampled
};
CpuProfileTotals TotalsOf(const CpuProfile& profile);

// One line a fact, "period: 10ms (100 Hz)": engine, period, samples, CPU time, whose time it is,
// and, only where there were any, losses, overflows, truncated and failed stacks, refused threads,
// notes.
std::vector<std::string> QualityReport(const CpuProfile& profile);

// One line each of what makes the profile less than it should be: nothing recorded though CPU was
// used, losses, overflow, truncated stacks, refused threads. Empty when all went well.
std::vector<std::string> QualityWarnings(const CpuProfile& profile);

}  // namespace curg
