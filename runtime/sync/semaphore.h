// SPDX-License-Identifier: Apache-2.0
//
// Semaphore: permits, handed out in the order in which they were asked for.
//
//   curg::Semaphore slots(8);      // at most eight downloads at a time
//   ...
//   slots.Acquire();
//   Download(url);
//   slots.Release();
//
// Invariant  The first who waits wants more permits than there are. Release hands permits to
//            waiters before it returns, so nobody who comes later overtakes them, and one who wants
//            many is not starved by those who want few.
// Lifetime   The last access of Release is its unlock.
#pragma once

#include <cstdint>
#include <stop_token>

#include "runtime/deadline.h"
#include "runtime/sync/primitives.h"
#include "runtime/sync/wait_queue.h"
#include "runtime/wait_status.h"

namespace curg {

// Any task or thread may release what another acquired.
// Thread-safe. From tasks and plain threads alike. Not async-signal-safe.
class Semaphore {
 public:
  // Throws std::invalid_argument when `permits` is negative.
  explicit Semaphore(int64_t permits);
  // Aborts, naming the caller, when somebody waits.
  ~Semaphore();
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // Takes `count` permits, waiting for them. All forms throw std::invalid_argument, naming the
  // caller, when `count` is negative. Blocks: the task or the plain thread.
  void Acquire(int64_t count = 1) { (void)AcquireWithin(count, {}); }
  // As Acquire, but gives up at `deadline` (kTimeout) or when a stop is requested (kCancelled),
  // with no permit taken.
  WaitStatus AcquireUntil(int64_t count, Deadline deadline, const std::stop_token& stop = {}) {
    return AcquireWithin(count, {deadline, &stop});
  }
  WaitStatus Acquire(int64_t count, const std::stop_token& stop) {
    return AcquireUntil(count, Deadline::Never(), stop);
  }
  // Takes them if they are there and nobody waits. Blocks: nothing.
  bool TryAcquire(int64_t count = 1);

  // Gives permits back, or adds new ones. Throws std::overflow_error beyond 2^62. Blocks: nothing.
  void Release(int64_t count = 1);

  // Permits to be had at this moment; out of date when others use it.
  int64_t available() const;

 private:
  friend struct internal::SyncProbe;  // tests

  WaitStatus AcquireWithin(int64_t count, const internal::WaitLimits& limits);
  internal::WaitNode* GrantLocked();

  mutable internal::SpinLock lock_;
  int64_t permits_;              // guarded by lock_
  internal::WaitQueue waiters_;  // guarded by lock_; a node's detail is the permits it wants
};

}  // namespace curg
