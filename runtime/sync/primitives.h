// SPDX-License-Identifier: Apache-2.0
//
// What the algorithms of this folder are made of. A schedule-exploring test compiles their sources
// with CURG_SYNC_PRIMITIVES naming a header of its own, whose primitives let a seeded scheduler
// choose at every step who goes next; everything else uses the real ones.
#pragma once

#ifdef CURG_SYNC_PRIMITIVES

#include CURG_SYNC_PRIMITIVES

#else

#include <sched.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/caller.h"
#include "runtime/claim_waiter.h"
#include "runtime/park.h"
#include "runtime/spin_lock.h"
#include "runtime/timers.h"

namespace curg::internal {

template <typename T>
using Atomic = std::atomic<T>;

// So many waiters are taken under one hold of an object's lock, where all are to be woken.
inline constexpr size_t kTakenAtOnce = 64;

// `value`, which the compiler then does not know: not the same as a register that happens to hold
// it.
inline uint32_t Opaque(uint32_t value) {
  asm volatile("" : "+r"(value));
  return value;
}

// One turn of a loop that waits for somebody else's few instructions; `turns` counts them.
inline void SpinTurn(int& turns) {
  constexpr int kPausesMax = 64;  // longer only means that the kernel has preempted the other
  if (++turns < kPausesMax) {
    __builtin_ia32_pause();
  } else {
    sched_yield();
  }
}

// The pause after the `look`th look (from 0) at what somebody else holds: 4 times the instruction
// first (0.1 us), and each time four times as long.
inline void SpinLonger(int look) {
  for (int i = 0; i < 4 << 2 * look; ++i) __builtin_ia32_pause();
}

}  // namespace curg::internal

#endif
