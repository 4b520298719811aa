// SPDX-License-Identifier: Apache-2.0
//
// Poller: where a worker that has nothing to do waits, once somebody uses I/O (Go's netpoll). The
// scheduler knows this door only; what is behind it is in io/.
#pragma once

#include <cstdint>

namespace curg::internal {

// Whoever is the scheduler's timekeeper (scheduler.h) is the only one to call Wait and Dispatch, so
// what they share needs no lock.
class Poller {
 public:
  virtual ~Poller() = default;

  // Waits until I/O is ready, `deadline` (MonotonicNow; 0: only looks) has come, or somebody calls
  // Break. May return early. True: there is something for Dispatch. The worker still counts as
  // asleep meanwhile, so Wait wakes no task itself.
  // Owner only: the timekeeper, on its system stack. Blocks: the thread.
  virtual bool Wait(int64_t deadline) = 0;

  // Makes runnable who waited for what Wait found.
  // Owner only: the timekeeper, on its system stack, awake. Blocks: nothing.
  virtual void Dispatch() = 0;

  // Ends a Wait that is under way, or else the next one.
  // Thread-safe. Blocks: nothing.
  virtual void Break() = 0;

  // Whether I/O may wake a task that waits for it now.
  // Thread-safe.
  virtual bool MayWake() const = 0;
};

}  // namespace curg::internal
