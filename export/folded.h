// SPDX-License-Identifier: Apache-2.0
//
// Folded stacks: one line a stack, root first, for flame graph tools.
//
//   main;Serve;Parse 12
#pragma once

#include <string>

#include "export/frame.h"
#include "profiler/cpu_profile.h"

namespace perftools::profiles {
class Profile;
}

namespace curg {

// The largest value first; equal stacks, whatever their labels, are one line. Values are those of the
// sample type at `type`, in its unit. Functions without a name are their addresses, in hexadecimal. In
// names, ";" and newlines become ":" and spaces. Stacks without value are left out.
// Thread-safe. Blocks: nothing.
std::string FoldedStacks(const perftools::profiles::Profile& profile, int type);

// Of a CPU profile: the values are sampling periods.
// Thread-safe, but for `frames`. Blocks: the thread, reading symbols.
std::string FoldedStacks(const CpuProfile& profile, FrameSource& frames);

}  // namespace curg
