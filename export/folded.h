// SPDX-License-Identifier: Apache-2.0
//
// Folded stacks: one line a stack, root first, for flame graph tools.
//
//   main;Serve;Parse 120000000
#pragma once

#include <string>

#include "export/frame.h"
#include "profiler/cpu_profile.h"

namespace curg {

// The largest first; equal stacks, whatever their labels, are one line. The number is CPU time in
// nanoseconds. Functions without a name are their addresses. In names, ";" becomes ":" and a
// newline a space.
// Thread-safe, but for `frames`. Blocks: the thread, reading symbols.
std::string FoldedStacks(const CpuProfile& profile, FrameSource& frames);

}  // namespace curg
