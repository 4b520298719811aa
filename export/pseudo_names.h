// SPDX-License-Identifier: Apache-2.0
//
// Names for what stands in a stack but is no code.
#pragma once

#include <cstdint>
#include <string_view>

#include "profiler/cpu_profile.h"

namespace curg::internal {

// At the root of all samples of the runtime's own threads (no user task was current), and of those
// of threads that the runtime does not know.
inline constexpr std::string_view kRuntimeThreadName = "curg::RuntimeThread";
inline constexpr std::string_view kForeignThreadName = "curg::ForeignThread";

// The name of the pseudo frame (profiler/pseudo_frames.h) at `address`, or empty when there is
// none. So even a stripped program's losses have a name. Thread-safe.
std::string_view PseudoName(uintptr_t address);

// The name to put below the root of an entry's stack, or empty when the stack says it all. An entry
// without a stack always gets one, so that its time is seen. Thread-safe.
std::string_view RootName(const CpuProfileEntry& entry);

}  // namespace curg::internal
