// SPDX-License-Identifier: Apache-2.0
//
// Joiner: who waits for a task's end, as its TaskEnd names it.
//
//   a Waiter*                      a join without limits: its one waker is the task's worker
//   a LimitedJoin* | kLimitedJoin  a join that may give up
//
// Invariant  Whoever changes the TaskEnd away from a joiner has taken it. If the worker did, it
//            wakes the joiner, or (when the joiner has claimed itself meanwhile) says that it is
//            through with it; only then may the joiner's memory go. If the joiner did, nobody knows
//            it any more.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/claim_waiter.h"
#include "runtime/park.h"

namespace curg::internal {

// On the joiner's stack.
struct LimitedJoin {
  ClaimWaiter waiter;
  std::atomic<bool> released{false};  // the worker came second, and has gone
};

inline constexpr uintptr_t kLimitedJoin = 4;  // more than TaskEnd's own, less than an alignment
static_assert(alignof(Waiter) > kLimitedJoin && alignof(LimitedJoin) > kLimitedJoin);

// The task behind a joiner without limits, which sleeps until it is woken; null: none, or somebody
// else.
inline Task* TaskThatJoins(uintptr_t joiner) {
  const bool joins = joiner != 0 && (joiner & kLimitedJoin) == 0;
  return joins ? reinterpret_cast<Waiter*>(joiner)->task() : nullptr;
}

void WakeLimitedJoin(LimitedJoin* join);

// Wakes the joiner that the caller has taken out of a TaskEnd. It may be gone on return.
// Blocks: nothing.
inline void WakeJoiner(uintptr_t joiner) {
  if ((joiner & kLimitedJoin) == 0) {
    reinterpret_cast<Waiter*>(joiner)->Wake();
  } else {
    WakeLimitedJoin(reinterpret_cast<LimitedJoin*>(joiner & ~kLimitedJoin));
  }
}

}  // namespace curg::internal
