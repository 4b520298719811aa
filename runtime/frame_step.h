// SPDX-License-Identifier: Apache-2.0
//
// One step of a walk: from a frame's registers and its rule to those of the caller.
#pragma once

#include <cstdint>

#include "runtime/frame_rule.h"
#include "runtime/stack_bounds.h"
#include "runtime/unwind_row.h"

namespace curg::internal {

// The memory a walk may read. Everything it ever loads, it loads through this.
struct StackWindow {
  uintptr_t low = 0;
  uintptr_t high = 0;

  // Reads an aligned word. False: it is not entirely inside.
  // Async-signal-safe.
  bool Load(uintptr_t address, uintptr_t* word) const noexcept;

  // Whether the `size` bytes at `address` are inside.
  bool Holds(uintptr_t address, uintptr_t size) const noexcept {
    return address >= low && address <= high && high - address >= size;
  }
};

struct Frame {
  Registers registers;
  // pc is an instruction that was about to run (the leaf's, or one that a signal interrupted), not
  // the address that a call will return to.
  bool exact = true;
};

enum class FrameStep : uint8_t {
  kCaller,    // *frame is the caller now
  kRoot,      // there is none
  kNoRow,     // the rule does not say, or asks for a register that is not known
  kBadFrame,  // the caller would be outside the window, misaligned, or not further up
};

// By a row's word. Requires: word.kind() is none of kNone and kSide.
// Async-signal-safe: no lock, no allocation, no system call.
FrameStep StepByWord(UnwindWord word, const StackWindow& window, Frame* frame) noexcept;

// By any rule.
// Async-signal-safe: no lock, no allocation, no system call.
FrameStep StepByRule(const FrameRule& rule, const StackWindow& window, Frame* frame) noexcept;

}  // namespace curg::internal
