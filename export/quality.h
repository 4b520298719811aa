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
  int64_t periods = 0;
  int64_t task_periods = 0;
  int64_t runtime_periods = 0;
  int64_t foreign_periods = 0;
  int64_t lost_periods = 0;      // SampleKind::kLost
  int64_t overflow_periods = 0;  // SampleKind::kOverflow
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
