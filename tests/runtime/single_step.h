// SPDX-License-Identifier: Apache-2.0
//
// Runs some work one instruction at a time on fcontext stacks, switching between two of them;
// walks the stack before every single instruction, and compares with a shadow stack that is kept by
// watching calls and returns.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/runtime/code_regions.h"

namespace curg::internal {

struct StepTally {
  uint64_t steps = 0;
  uint64_t exact = 0;   // every return address, up to the task's entry
  uint64_t rooted = 0;  // ended at the task's entry, whatever came before
  uintptr_t first_wrong = 0;
};

// Calls `work(0)` to `work(rounds - 1)`, with a switch to the other stack and back after each.
// Gives what became of the steps, by the region of their instruction. A million takes ten seconds.
// Requires: RefreshUnwindTables. Once a process; no other threads. Not under the address or thread
// sanitizer, whose runtimes defer signals and have no place for these switches.
std::vector<StepTally> SingleStep(void (*work)(int round), int rounds);

StepTally SumOf(const std::vector<StepTally>& tallies);

}  // namespace curg::internal
