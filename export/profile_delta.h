// SPDX-License-Identifier: Apache-2.0
//
// What came between two looks at a profile that counts from the start of the program.
#pragma once

#include "profiler/cpu_profile.h"

namespace curg {

// `later` less `earlier`, entry by entry: entries are the same if their addresses, tag and kind
// are. On addresses, before anything is symbolized, so that a name that is found only the second
// time takes nothing away. What has not changed is left out; what has become less (it was reset, or
// it never was cumulative) counts from nothing, so that no value is negative. The duration is the
// time between the two starts plus the later one's own.
// Requires: values that only grow. Thread-safe.
CpuProfile ProfileDelta(const CpuProfile& earlier, CpuProfile later);

}  // namespace curg
