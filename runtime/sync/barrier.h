// SPDX-License-Identifier: Apache-2.0
//
// Barrier: a fixed number of tasks meet, again and again.
//
//   curg::Barrier step(workers);
//   for (...) { ComputeMyPart(); if (step.ArriveAndWait()) SwapBuffers(); step.ArriveAndWait(); }
//
// Invariant  Outside the lock arrived_ < expected_ (or both are zero), and arrived_ nodes are
//            linked: whoever completes a phase unlinks them all in the same locked section. So one
//            that gave up and finds itself unlinked knows that its phase was completed with it: it
//            then did not give up after all.
#pragma once

#include <cstdint>
#include <stop_token>

#include "runtime/deadline.h"
#include "runtime/sync/primitives.h"
#include "runtime/sync/wait_queue.h"
#include "runtime/wait_status.h"

namespace curg {

// Memory ordering: what happened before anybody's arrival is visible to all after the wait.
// Thread-safe. From tasks and plain threads alike. Not async-signal-safe.
class Barrier {
 public:
  // `count` meet. Throws std::invalid_argument when it is zero.
  explicit Barrier(uint32_t count);
  // Aborts, naming the caller, when somebody waits.
  ~Barrier();
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  // Waits until all have arrived. True for exactly one of them in each phase, the last to arrive
  // (for none, if one that dropped out was the last). Throws std::logic_error, naming the caller,
  // when all have dropped out.
  // Blocks: the task or the plain thread.
  bool ArriveAndWait() {
    bool last;
    (void)ArriveWithin({}, &last);
    return last;
  }

  // As ArriveAndWait, but gives up at `deadline` (kTimeout) or when a stop is requested
  // (kCancelled): its arrival is then taken back, as if it had not come. `*last`, if any, is what
  // ArriveAndWait returns.
  WaitStatus ArriveAndWaitUntil(Deadline deadline, const std::stop_token& stop = {},
                                bool* last = nullptr) {
    bool unused;
    return ArriveWithin({deadline, &stop}, last != nullptr ? last : &unused);
  }
  WaitStatus ArriveAndWait(const std::stop_token& stop) {
    return ArriveAndWaitUntil(Deadline::Never(), stop);
  }

  // Leaves for good: from this phase on one fewer is waited for. Throws as ArriveAndWait.
  // Blocks: nothing.
  void ArriveAndDrop();

 private:
  friend struct internal::SyncProbe;  // tests

  WaitStatus ArriveWithin(const internal::WaitLimits& limits, bool* last);
  static WaitStatus TakeBack(Barrier* barrier, bool linked, WaitStatus status);
  void LockUnlessDeserted();
  void EndPhaseAndUnlock();

  internal::SpinLock lock_;
  uint32_t expected_;            // guarded by lock_
  uint32_t arrived_ = 0;         // guarded by lock_; in this phase
  internal::WaitQueue waiters_;  // guarded by lock_
};

}  // namespace curg
