// SPDX-License-Identifier: Apache-2.0
//
// Walks a stack: the second of the runtime's doors. What it walks by is unwind_table.h.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/stack_bounds.h"

namespace curg::internal {

enum class TracebackEnd : uint8_t {
  kRoot,       // reached the first frame of the task or thread
  kTruncated,  // there are more frames than fit
  kNoRow,      // no unwind information for a program counter
  kBadFrame,   // a frame pointed out of the stack, or not upwards
};

struct Traceback {
  size_t depth = 0;
  TracebackEnd end = TracebackEnd::kRoot;
};

// The registers a signal handler was given.
// Async-signal-safe.
Registers RegistersOf(const ucontext_t& context) noexcept;

// The registers of the caller.
// Async-signal-safe.
Registers RegistersHere() noexcept;

// Writes the program counters from `start` to the root into `pcs`, leaf first. pcs[0] is the
// interrupted instruction, the others are return addresses, except that the frame a signal
// interrupted is given as its address + 1, so that a reader may subtract one from every
// element but the first. Reads memory only inside `bounds`. Never crosses into another stack.
// Async-signal-safe: no lock, no allocation, no system call. May run in parallel with everything.
Traceback WalkStack(const Registers& start, StackBounds bounds, std::span<uintptr_t> pcs) noexcept;

}  // namespace curg::internal
