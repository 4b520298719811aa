// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/mutex.h"

#include "runtime/sync/self_deadlock.h"

namespace curg {

using internal::SpinTurn;
using internal::WaitLimits;
using internal::WaitNode;

WaitStatus Mutex::LockUntil(Deadline deadline, const std::stop_token& stop) {
  if (!Take()) {
    const WaitStatus status = LockSlowly({deadline, &stop});
    if (status != WaitStatus::kOk) return status;
  }
  if (KeepsOwners()) StoreOwner();
  return WaitStatus::kOk;
}

WaitStatus Mutex::LockSlowly(const WaitLimits& limits) {
  CheckNotOwner();
  int64_t since = 0;
  for (bool woken = false;; woken = true) {
    if (SpinToLock(woken)) return WaitStatus::kOk;
    internal::ClaimWaiter waiter;
    WaitNode node(waiter);
    const int64_t now = internal::MonotonicNow();
    if (!woken) since = now;
    if (LockOrEnqueue(&node, woken, now - since >= kHandOffAfter)) return WaitStatus::kOk;
    const WaitStatus status = WaitClaimed(waiter, limits, internal::WaitReason::kMutexLock, this);
    if (status != WaitStatus::kOk) {
      GiveUp(&node);
      return status;
    }
    if (node.status == WaitStatus::kOk) return WaitStatus::kOk;  // handed to us, locked
  }
}

// It may be free, with others on their way to it. Else for a holder that runs on another worker and
// is about to unlock: looks more and more rarely, as each look takes the word's cache line from the
// holder, who meanwhile locks and unlocks it undisturbed. Makes the longest pause only if nobody
// stands in line here. One who was woken answers for kWoken.
bool Mutex::SpinToLock(bool woken) {
  const uint32_t answered = woken ? kWoken : 0;
  for (int look = 0; look < kLooks; ++look) {
    uint32_t state = state_.load(std::memory_order_relaxed);  // relaxed: a guess for the next line
    // acquire: pairs with the release of the last unlock
    if (!IsHeld(state) &&
        state_.compare_exchange_strong(state, (state & ~answered) | kLocked,
                                       std::memory_order_acquire, std::memory_order_relaxed)) {
      return true;
    }
    if (look == 0 && !internal::OthersMayRun()) return false;
    if (look == kLooks - 1 && !internal::NobodyWaitsForWorker()) return false;
    internal::SpinLonger(look);
  }
  return false;
}

// Sets kQueueLocked, and returns the word with it.
uint32_t Mutex::LockQueue() {
  int turns = 0;
  while (true) {
    uint32_t state = state_.load(std::memory_order_relaxed);  // relaxed: a guess for the next line
    const uint32_t locked = (state == kLocked ? kKept : state) | kQueueLocked;
    // acquire: pairs with the release of whoever had the queue before
    if ((state & kQueueLocked) == 0 &&
        state_.compare_exchange_strong(state, locked, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
      return locked;
    }
    SpinTurn(turns);
  }
}

// Locks the mutex (true), or links `node` (false). One who was woken answers for kWoken, and goes
// to the front again.
bool Mutex::LockOrEnqueue(WaitNode* node, bool woken, bool long_waited) {
  const uint32_t done = kQueueLocked | (woken ? kWoken : 0);
  uint32_t state = LockQueue();
  while (true) {
    if (!IsHeld(state)) {
      queue_.Remove(node);
      // acq_rel: acquire pairs with the last unlock; release lets the queue go
      if (state_.compare_exchange_strong(state, (state & ~done) | kLocked,
                                         std::memory_order_acq_rel, std::memory_order_relaxed)) {
        return true;
      }
      continue;
    }
    if (!node->linked) {
      woken ? queue_.PushFront(node) : queue_.PushBack(node);
    }
    const uint32_t asks = kWaiters | (woken && long_waited ? kHandOff : 0);
    // release: lets the queue go, if the mutex is still held: see Invariant
    if (state_.compare_exchange_strong(state, (state & ~done) | asks, std::memory_order_release,
                                       std::memory_order_relaxed)) {
      return false;
    }
  }
}

// Takes a node out whose owner claimed it itself. An unlock that wants to wake somebody waits for
// the queue, and then sees what is left.
void Mutex::GiveUp(WaitNode* node) {
  uint32_t state = LockQueue();
  queue_.Remove(node);
  const uint32_t done = kQueueLocked | (queue_.empty() ? kWaiters | kHandOff : 0);
  // release: lets the queue go
  while (!state_.compare_exchange_strong(state, state & ~done, std::memory_order_release,
                                         std::memory_order_relaxed)) {
  }
}

// `state` is what the word was.
void Mutex::UnlockSlowly(uint32_t state) {
  int turns = 0;
  while (true) {
    if (!IsHeld(state)) internal::FatalMisuse("unlocks a Mutex that is not locked");
    if (!HasToWake(state)) {
      // release: pairs with the acquire of the next to lock; the last access
      if (state_.compare_exchange_strong(state, state & ~kHeld, std::memory_order_release,
                                         std::memory_order_relaxed)) {
        return;
      }
    } else if ((state & kQueueLocked) != 0) {
      SpinTurn(turns);
      state = state_.load(std::memory_order_relaxed);
      // acquire: pairs with the release of whoever had the queue before
    } else if (state_.compare_exchange_strong(state, state | kQueueLocked,
                                              std::memory_order_acquire,
                                              std::memory_order_relaxed)) {
      return ReleaseToNext(state);
    }
  }
}

// Holds it and kQueueLocked: nobody else changes the word, so a store will do.
void Mutex::ReleaseToNext(uint32_t state) {
  const bool hand_off = (state & kHandOff) != 0;
  WaitNode* const next = queue_.Take();
  uint32_t left = state & ~(kQueueLocked | kHandOff | kHeld);
  if (queue_.empty()) left &= ~kWaiters;
  if (next != nullptr) left |= hand_off ? kLocked : kWoken;
  state_.store(left, std::memory_order_release);  // release: as unlock(); the last access
  if (next != nullptr) next->Finish(hand_off ? WaitStatus::kOk : WaitStatus::kWouldBlock);
}

constinit std::atomic<bool> internal::g_keep_mutex_owners{false};

void KeepMutexOwners(bool on) {
  internal::g_keep_mutex_owners.store(on, std::memory_order_relaxed);
}

void Mutex::StoreOwner() { owner_.store(internal::CallerToken(), std::memory_order_relaxed); }

#ifndef NDEBUG

void Mutex::CheckOwner() {
  if (owner_.load(std::memory_order_relaxed) != internal::CallerToken()) {
    internal::FatalMisuse("unlocks a Mutex that it has not locked");
  }
  owner_.store(nullptr, std::memory_order_relaxed);
}

void Mutex::CheckNotOwner() {
  if (owner_.load(std::memory_order_relaxed) == internal::CallerToken())
    internal::ThrowSelfDeadlock("locks a Mutex that it holds");
}

#endif

}  // namespace curg
