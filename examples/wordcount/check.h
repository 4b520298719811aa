// SPDX-License-Identifier: Apache-2.0
//
// Check: compares a profile of wordcount with what the kernel's clocks say.
#pragma once

#include <string>

#include "examples/wordcount/phase.h"
#include "profiler/cpu_profile.h"

namespace wordcount {

struct CheckResult {
  bool holds = false;  // every bound
  std::string table;   // each figure, its bound, and whether it holds
};

// Bounds, meant for runs of at least ten seconds of CPU time:
//   each phase's share of the labelled samples    within 5 points of its share of `clocks`
//   samples of user tasks that carry a phase      at least 99 %
//   the profile's CPU time                        within 5 % of the process's (getrusage)
CheckResult CheckProfile(const curg::CpuProfile& profile, const PhaseTimes& clocks);

}  // namespace wordcount
