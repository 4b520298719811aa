// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/condition_variable.h"

namespace curg {

ConditionVariable::~ConditionVariable() {
  if (!waiters_.empty()) {
    internal::FatalMisuse("destroys a ConditionVariable on which somebody waits");
  }
}

// With a ClaimWaiter, which may be woken before it sleeps: the mutex is released in between, and
// must not be under the spin lock.
WaitStatus ConditionVariable::WaitWithin(std::unique_lock<Mutex>& lock,
                                         const internal::WaitLimits& limits) {
  if (!lock.owns_lock()) {
    internal::FatalMisuse("waits on a ConditionVariable without holding the lock");
  }
  internal::ClaimWaiter waiter;
  internal::WaitNode node(waiter);
  lock_.lock();
  waiters_.PushBack(&node);
  lock_.unlock();
  lock.unlock();
  const WaitStatus status = WaitClaimed(waiter, limits, internal::WaitReason::kConditionWait, this);
  if (status != WaitStatus::kOk) {
    lock_.lock();
    waiters_.Remove(&node);
    lock_.unlock();
  }
  lock.lock();
  return status;
}

void ConditionVariable::NotifyOne() {
  lock_.lock();
  internal::WaitNode* const node = waiters_.Take();
  lock_.unlock();
  if (node != nullptr) node->Finish(WaitStatus::kOk);
}

void ConditionVariable::NotifyAll() {
  lock_.lock();
  internal::WaitNode* const nodes = waiters_.TakeAll();
  lock_.unlock();
  FinishAll(nodes, WaitStatus::kOk);
}

}  // namespace curg
