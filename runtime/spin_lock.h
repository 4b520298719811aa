// SPDX-License-Identifier: Apache-2.0
//
// SpinLock: for sections of a few dozen instructions that never park, allocate or call user code.
// A schedule-exploring test compiles sources with CURG_MODEL_LOCK naming a header with a lock of
// its own (tests/runtime/model_lock.h).
#pragma once

#ifdef CURG_MODEL_LOCK

#include CURG_MODEL_LOCK

namespace curg::internal {

using SpinLock = model::ModelLock;

}  // namespace curg::internal

#else

#include <sched.h>

#include <atomic>

namespace curg::internal {

// BasicLockable. May be released on another stack of the same thread than it was taken on: a
// parking task leaves its object's lock to the scheduler. Under contention it spins, then yields
// the thread, since the holder may have been preempted by the kernel.
// Rejected: std::mutex, which costs twice as much uncontended and sleeps where nobody holds it
// long; abseil's spin lock, which is internal to abseil.
class SpinLock {
 public:
  // Blocks: the thread, briefly. Not async-signal-safe.
  void lock() {
    if (!try_lock()) [[unlikely]]
      LockSlowly();
  }

  bool try_lock() {
    // acquire: pairs with the release in unlock()
    return !held_.exchange(true, std::memory_order_acquire);
  }

  void unlock() {
    held_.store(false, std::memory_order_release);
  }  // release: pairs with
     // try_lock()

 private:
  static constexpr int kLooks = 7;  // some microseconds; longer only means preempted

  // Each pause is twice as long as the one before: a look takes the cache line from the holder, who
  // is likely to want it again soon.
  void LockSlowly() {
    for (int look = 0;; ++look) {
      if (!held_.load(std::memory_order_relaxed) && try_lock()) return;  // relaxed: only a hint
      if (look >= kLooks) {
        sched_yield();
        continue;
      }
      for (int i = 0; i < 1 << look; ++i) __builtin_ia32_pause();
    }
  }

  std::atomic<bool> held_{false};
};

}  // namespace curg::internal

#endif
