// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/wait_group.h"

#include <stdexcept>

namespace curg {

WaitGroup::~WaitGroup() {
  if (!waiters_.empty()) {
    internal::FatalMisuse("destroys a WaitGroup on which somebody waits");
  }
}

void WaitGroup::Add(int64_t count) {
  int64_t state = state_.load(std::memory_order_relaxed);  // relaxed: a guess for the next lines
  int64_t next;
  do {
    next = state + count * kOne;
    if (next < 0) {
      throw std::logic_error("curg: " + internal::CallerName() +
                             ": makes a WaitGroup's counter negative: one Done too many, or an "
                             "Add too late");
    }
    // acq_rel: release pairs with Wait's acquires, so that it sees what was done; acquire chains
    // the earlier Dones to it
  } while (!state_.compare_exchange_weak(state, next, std::memory_order_acq_rel,
                                         std::memory_order_relaxed));
  if (next == kWaiters) WakeAll();
}

// The counter came to zero while somebody waited.
void WaitGroup::WakeAll() {
  lock_.lock();
  internal::WaitNode* const nodes = waiters_.TakeAll();
  state_.fetch_and(~kWaiters, std::memory_order_relaxed);  // relaxed: the unlock publishes it
  lock_.unlock();
  FinishAll(nodes, WaitStatus::kOk);
}

WaitStatus WaitGroup::WaitWithin(const internal::WaitLimits& limits) {
  lock_.lock();                                            // whatever the counter: see Lifetime
  int64_t state = state_.load(std::memory_order_acquire);  // acquire: pairs with the release in Add
  // If the bit is set already, a WakeAll will come, or is on its way and waits for the lock.
  while ((state & kWaiters) == 0) {
    if (state == 0) {
      lock_.unlock();
      return WaitStatus::kOk;
    }
    // acquire: as above
    if (state_.compare_exchange_strong(state, state | kWaiters, std::memory_order_acquire)) {
      break;
    }
  }
  return WaitInQueue<WaitGroup>(waiters_, lock_, limits, internal::WaitReason::kWaitGroupWait, this,
                                nullptr);
}

}  // namespace curg
