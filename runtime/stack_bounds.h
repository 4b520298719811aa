// SPDX-License-Identifier: Apache-2.0
//
// StackBounds and Registers: the two small values everything that walks a stack speaks in.
#pragma once

#include <ucontext.h>

#include <cstdint>

namespace curg {

// The memory a stack may use: [low, high).
struct StackBounds {
  uintptr_t low = 0;
  uintptr_t high = 0;

  constexpr bool Contains(uintptr_t address) const { return low <= address && address < high; }
  constexpr bool empty() const { return low == high; }
  constexpr uintptr_t size() const { return high - low; }
  friend bool operator==(const StackBounds&, const StackBounds&) = default;
};

// Where a walk starts: what an interrupted thread or a parked task had in the registers that
// unwinding needs on x86-64.
struct Registers {
  uintptr_t pc = 0;
  uintptr_t sp = 0;
  uintptr_t bp = 0;
  uintptr_t bx = 0;
  // Every register, where the start is an instruction that a signal interrupted: a few prologues
  // and hand-written functions keep their frame in none of the four above. Null elsewhere. Valid
  // only while the handler runs; not to be kept.
  const mcontext_t* interrupted = nullptr;
};

}  // namespace curg
