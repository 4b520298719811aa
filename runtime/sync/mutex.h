// SPDX-License-Identifier: Apache-2.0
//
// Mutex: mutual exclusion that blocks the task, not the thread.
//
//   curg::Mutex mutex;
//   ...
//   std::lock_guard lock(mutex);
//
// One word tells all: kLocked, or kKept in its place once somebody has been at the queue under this
// holder; kWaiters: the queue has somebody; kWoken: one who waited is on its way to try again, so
// an unlock need not wake another; kHandOff: the first in the queue has waited long, so the next
// unlock gives it the mutex; kQueueLocked: guards the queue.
//
// Fairness   Those who wait stand in line, but whoever comes while the mutex is free takes it
//            ("barging"): a mutex that waits for a sleeper to wake up is idle for microseconds. One
//            who was woken, lost against bargers and has waited for 1 ms stands first and asks for
//            hand-off; so nobody waits longer than about that much for each one before it. (Go's
//            modes, but one hand-off at a time: in Go's starvation mode every task parks.)
// Invariant  It is held while kLocked or kKept is set. kWaiters = the queue is not empty, whenever
//            kQueueLocked is not set; kHandOff implies kWaiters; kWoken and kHandOff exclude each
//            other. Who holds the mutex and kQueueLocked is the only one who may change the word. A
//            waiter lies down only if, at the moment it lets the queue go, the mutex is held: the
//            holder's unlock comes later and sees kWaiters. So no wake-up is lost.
// Unlock     Subtracting is faster than comparing and swapping, but does the same whatever the word
//            says. So who locks the queue turns a lone kLocked (1) into kKept (2): an unlock that
//            has seen kLocked alone and subtracts 1 leaves 0 or, if somebody came between, kLocked.
//            Then it still holds the mutex, and goes on as any that may have to wake somebody.
// Ordering   acquire on setting kLocked or kQueueLocked, release on clearing them.
// Lifetime   The operation that frees the mutex is the unlock's last access to it; so an object may
//            be destroyed under its own mutex's protection, as with std::mutex. This is why the
//            queue's lock is a bit of the same word, and what kKept is for: an unlock that freed
//            the mutex and then woke somebody would touch one that the next holder may have
//            destroyed.
// Speed      Lock and unlock are one exchange each also while others wait, as long as none of them
//            has to be woken; and who spins looks rarely, and not at once again: each look takes
//            the cache line from the holder, and may take the mutex. Under contention it so stays
//            with one worker for many turns, which cost no transfers.
// Rejected   A spin lock beside the word (see Lifetime). Always handing off: each unlock under
//            contention then costs a switch. A futex (blocks the worker).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stop_token>

#include "runtime/deadline.h"
#include "runtime/sync/primitives.h"
#include "runtime/sync/wait_queue.h"
#include "runtime/wait_status.h"

namespace curg {

namespace internal {

extern std::atomic<bool> g_keep_mutex_owners;

// The CallerToken of whoever holds the mutex at `mutex`, which may be gone: null when that is not
// known. The mutex must have been locked while owners were kept. Thread-safe. Blocks: nothing (a
// system call).
const void* OwnerOfMutex(const void* mutex);

}  // namespace internal

// Whether mutexes remember from now on who locked them, for dumps to say who holds what others wait
// for, and to find those that wait in circles: a store for each lock, too little to measure
// (BM_MutexOneTaskOwnersKept). Debug builds always do. Thread-safe.
void KeepMutexOwners(bool on);

// Lockable and TimedLockable as the standard says: std::lock_guard, std::unique_lock and
// std::scoped_lock work. Not recursive. A task may park while it holds it; it must be unlocked by
// whom it was locked by. Debug builds check that: unlocking another's mutex aborts, locking one's
// own again throws; in every build, unlocking one that is not locked aborts. The message names the
// caller.
// Thread-safe. From tasks and plain threads alike. Not async-signal-safe.
class Mutex {
 public:
  constexpr Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Debug builds throw std::system_error (resource_deadlock_would_occur) when the caller holds it
  // already.
  // Blocks: the task or the plain thread.
  void lock() {
    const bool keep_owner = KeepsOwners();  // asked before: a load after an exchange waits for it
    if (!Take()) [[unlikely]]
      (void)LockSlowly({});
    if (keep_owner) [[unlikely]]
      StoreOwner();
  }

  // Blocks: nothing.
  bool try_lock() {
    if (!Take()) return false;
    if (KeepsOwners()) StoreOwner();
    return true;
  }

  // Blocks: nothing.
  void unlock() {
    CheckOwner();
    uint32_t state = state_.load(std::memory_order_relaxed);  // relaxed: we hold it
    if (state == kLocked) [[likely]] {
      // release: pairs with the acquire of the next to lock
      if (state_.fetch_sub(kLocked, std::memory_order_release) != kLocked) [[unlikely]]
        UnlockSlowly(state_.load(std::memory_order_relaxed));  // still held: see Unlock
    } else if (HasToWake(state) ||
               // release: as above
               !state_.compare_exchange_strong(state, state & ~kHeld, std::memory_order_release,
                                               std::memory_order_relaxed)) {
      UnlockSlowly(state);
    }
  }

  // Locks, but gives up at `deadline` (kTimeout) or when a stop is requested (kCancelled).
  // Blocks: the task or the plain thread.
  WaitStatus LockUntil(Deadline deadline, const std::stop_token& stop = {});
  WaitStatus Lock(const std::stop_token& stop) { return LockUntil(Deadline::Never(), stop); }

  // The standard's names for LockUntil: whether it is locked.
  template <typename Clock, typename Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> deadline) {
    return LockUntil(deadline) == WaitStatus::kOk;
  }
  bool try_lock_for(std::chrono::nanoseconds duration) {
    return LockUntil(Deadline::After(duration)) == WaitStatus::kOk;
  }

 private:
  friend struct internal::SyncProbe;  // tests
  friend const void* internal::OwnerOfMutex(const void* mutex);

  static constexpr uint32_t kLocked = 1;
  static constexpr uint32_t kKept = 2;
  static constexpr uint32_t kHeld = kLocked | kKept;
  static constexpr uint32_t kQueueLocked = 4;
  static constexpr uint32_t kWaiters = 8;
  static constexpr uint32_t kWoken = 16;
  static constexpr uint32_t kHandOff = 32;

  static constexpr int64_t kHandOffAfter = 1'000'000;  // nanoseconds
  static constexpr int kLooks = 4;  // while spinning: 8 us, about what waking a worker costs

  static bool IsHeld(uint32_t state) { return (state & kHeld) != 0; }

  // Takes it if it is free, also before those who wait; else leaves it as it is. The look before
  // saves others a transfer of the cache line.
  bool Take() {
    uint32_t free = internal::Opaque(0);  // so that the exchange need not wait for the look
    uint32_t state = state_.load(std::memory_order_relaxed);
    // acquire, both: pairs with the release of the last unlock
    if (state == 0 && state_.compare_exchange_strong(free, kLocked, std::memory_order_acquire,
                                                     std::memory_order_relaxed)) [[likely]] {
      return true;
    }
    while (!IsHeld(state)) {
      if (state_.compare_exchange_strong(state, state | kLocked, std::memory_order_acquire,
                                         std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

  // Whether an unlock has a waiter to wake; or is not allowed, and says so.
  static bool HasToWake(uint32_t state) {
    return !IsHeld(state) || ((state & kWaiters) != 0 && (state & kWoken) == 0);
  }

  WaitStatus LockSlowly(const internal::WaitLimits& limits);
  bool SpinToLock(bool woken);
  bool LockOrEnqueue(internal::WaitNode* node, bool woken, bool long_waited);
  void GiveUp(internal::WaitNode* node);
  uint32_t LockQueue();
  void UnlockSlowly(uint32_t state);
  void ReleaseToNext(uint32_t state);
  void StoreOwner();

#ifdef NDEBUG
  static bool KeepsOwners() {
    return internal::g_keep_mutex_owners.load(std::memory_order_relaxed);
  }
  void CheckOwner() {}
  void CheckNotOwner() {}
#else
  static bool KeepsOwners() { return true; }
  void CheckOwner();
  void CheckNotOwner();
#endif

  internal::Atomic<uint32_t> state_{0};
  internal::WaitQueue queue_;  // guarded by kQueueLocked
  // debug builds, and while owners are kept: CallerToken() of who locked it last; relaxed: only
  // compared with the reader's own, and shown
  internal::Atomic<const void*> owner_{nullptr};
};

}  // namespace curg
