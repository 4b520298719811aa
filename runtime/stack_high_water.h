// SPDX-License-Identifier: Apache-2.0
//
// How much of its stack a task has used: for choosing stack sizes. Costs nothing until asked.
//
//   curg::ResetStackHighWater();
//   Handle(request);
//   std::printf("%zu bytes\n", curg::StackHighWater());
#pragma once

#include <cstddef>

namespace curg {

// The most bytes of stack that the current task has had in use, in whole pages, from the kernel's
// record of the pages that were touched. A stack serves one task after another and keeps its
// memory, so an earlier task's deeper use is included, unless ResetStackHighWater was called since.
// Pages that were swapped out are not counted. 0 on a plain thread.
// Thread-safe. Async-signal-safe. Blocks: nothing (a system call a mebibyte of stack).
size_t StackHighWater();

// Forgets what was used so far but is not now: gives the memory below the current frame back to the
// kernel. What is touched later costs a page fault again. No effect on a plain thread.
// Thread-safe. Blocks: nothing (a system call).
void ResetStackHighWater();

}  // namespace curg
