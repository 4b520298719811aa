// SPDX-License-Identifier: Apache-2.0
//
// Looks into the queues of the synchronisation objects, so that a test can wait until somebody
// waits instead of sleeping and hoping.
#pragma once

#include <cstddef>

#include "runtime/go.h"
#include "runtime/sync/wait_queue.h"

namespace curg::internal {

// Every object of runtime/sync is its friend.
struct SyncProbe {
  static size_t Length(const WaitQueue& queue) {
    size_t length = 0;
    for (const WaitNode* node = queue.first(); node != nullptr; node = node->next) ++length;
    return length;
  }

  // A channel: both queues.
  template <typename Object>
  requires requires(Object& object) { object.core_; }
  static size_t Waiters(Object& object) {
    object.core_.lock_.lock();
    const size_t length = Length(object.core_.senders_) + Length(object.core_.receivers_);
    object.core_.lock_.unlock();
    return length;
  }

  template <typename Object>
  requires requires(Object& object) { object.LockQueue(); }
  static size_t Waiters(Object& object) {
    object.LockQueue();
    const size_t length = Length(object.queue_);
    object.state_.fetch_and(~Object::kQueueLocked);
    return length;
  }

  template <typename Object>
  requires requires(Object& object) { object.waiters_; }
  static size_t Waiters(Object& object) {
    object.lock_.lock();
    const size_t length = Length(object.waiters_);
    object.lock_.unlock();
    return length;
  }
};

}  // namespace curg::internal

namespace curg {

// Yields until at least `count` wait on `object`.
template <typename Object>
void AwaitWaiters(Object& object, size_t count = 1) {
  while (internal::SyncProbe::Waiters(object) < count) Yield();
}

}  // namespace curg
