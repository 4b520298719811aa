// SPDX-License-Identifier: Apache-2.0
//
// WaitGroup: waits until a number of things have been done.
//
//   curg::WaitGroup done;
//   for (const Url& url : urls) {
//     done.Add();
//     curg::Go([&] { Fetch(url); done.Done(); });
//   }
//   done.Wait();
//
// Invariant  state_ is the counter twice, plus one while somebody waits. Nobody sleeps while the
//            counter is zero and the bit is clear; whoever brings the counter to zero while the bit
//            is set empties the queue.
// Lifetime   Wait does not return before the last Done has let go of the object: with the bit
//            clear, Done touches it no more after its one operation; otherwise its last access is
//            the unlock, and since Wait takes the lock even to find the counter zero, it comes
//            after that.
#pragma once

#include <cstdint>
#include <stop_token>

#include "runtime/deadline.h"
#include "runtime/sync/primitives.h"
#include "runtime/sync/wait_queue.h"
#include "runtime/wait_status.h"

namespace curg {

// Call Add before starting what will call Done, not inside it. After Wait has returned it can be
// used again, or destroyed at once.
// Memory ordering: what happened before a Done is visible after the Wait that it ends.
// Thread-safe. From tasks and plain threads alike. Not async-signal-safe.
class WaitGroup {
 public:
  constexpr explicit WaitGroup(uint32_t count = 0) : state_(int64_t{count} * kOne) {}
  // Aborts, naming the caller, when somebody waits.
  ~WaitGroup();
  WaitGroup(const WaitGroup&) = delete;
  WaitGroup& operator=(const WaitGroup&) = delete;

  // Adds to the counter; `count` may be negative. Throws std::logic_error, naming the caller, if
  // the counter would become negative; it is then unchanged.
  // Blocks: nothing.
  void Add(int64_t count = 1);
  void Done() { Add(-1); }

  // Waits until the counter is zero. Blocks: the task or the plain thread.
  void Wait() { (void)WaitWithin({}); }
  // As Wait, but gives up at `deadline` (kTimeout) or when a stop is requested (kCancelled).
  WaitStatus WaitUntil(Deadline deadline, const std::stop_token& stop = {}) {
    return WaitWithin({deadline, &stop});
  }
  WaitStatus Wait(const std::stop_token& stop) { return WaitUntil(Deadline::Never(), stop); }

 private:
  friend struct internal::SyncProbe;  // tests

  static constexpr int64_t kWaiters = 1;
  static constexpr int64_t kOne = 2;

  WaitStatus WaitWithin(const internal::WaitLimits& limits);
  void WakeAll();

  internal::Atomic<int64_t> state_;
  internal::SpinLock lock_;
  internal::WaitQueue waiters_;  // guarded by lock_
};

}  // namespace curg
