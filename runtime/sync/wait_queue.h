// SPDX-License-Identifier: Apache-2.0
//
// WaitQueue: those who wait for one object, first come first served, linked through nodes on their
// own stacks. Every object of this folder has one or two, under its own spin lock.
#pragma once

#include <cstddef>
#include <limits>

#include "runtime/sync/primitives.h"
#include "runtime/wait_limits.h"
#include "runtime/wait_status.h"

namespace curg::internal {

struct SyncProbe;

// One waiter in one queue. Exactly one of `waiter` and `contested` is set.
// Ownership  linked: the object's, under its lock. Taken (WaitQueue::Take): the taker's alone,
//            until it calls Finish; the node's owner sleeps meanwhile.
struct WaitNode {
  explicit WaitNode(Waiter& waiter, void* slot = nullptr) : waiter(&waiter), slot(slot) {}
  explicit WaitNode(ClaimWaiter& contested, void* slot = nullptr)
      : contested(&contested), slot(slot) {}
  WaitNode() = default;

  // Tells the owner how its wait ended, and wakes it. By the taker, once; the node may be gone when
  // it returns.
  void Finish(WaitStatus how) {
    status = how;
    if (waiter != nullptr) {
      waiter->Wake();
    } else {
      contested->Wake();
    }
  }

  Waiter* waiter = nullptr;          // one certain waker
  ClaimWaiter* contested = nullptr;  // several possible ones
  void* slot = nullptr;  // the element to send from, or the std::optional to receive into
  int64_t detail = 0;    // the object's own: permits wanted, reader or writer, ...
  WaitStatus status = WaitStatus::kWouldBlock;  // until finished

  WaitNode* next = nullptr;
  WaitNode* previous = nullptr;
  bool linked = false;
};

// Thread-compatible: under the object's lock.
class WaitQueue {
 public:
  bool empty() const { return first_ == nullptr; }
  WaitNode* first() const { return first_; }

  void PushBack(WaitNode* node) {
    node->previous = last_;
    node->next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = node;
    last_ = node;
    node->linked = true;
  }

  void PushFront(WaitNode* node) {
    node->previous = nullptr;
    node->next = first_;
    (first_ == nullptr ? last_ : first_->previous) = node;
    first_ = node;
    node->linked = true;
  }

  // Unlinks `node`; false if it was not linked (any more).
  bool Remove(WaitNode* node) {
    if (!node->linked) return false;
    (node->previous == nullptr ? first_ : node->previous->next) = node->next;
    (node->next == nullptr ? last_ : node->next->previous) = node->previous;
    node->linked = false;
    return true;
  }

  // Unlinks and claims the first that can still be claimed; null if there is none. Those that gave
  // up meanwhile are unlinked on the way.
  WaitNode* Take() {
    while (first_ != nullptr) {
      WaitNode* const node = first_;
      if (TakeIfUnclaimed(node)) return node;
    }
    return nullptr;
  }

  // Unlinks `node`, and tells whether it is the caller's to finish.
  bool TakeIfUnclaimed(WaitNode* node) {
    Remove(node);
    return node->contested == nullptr || node->contested->TryClaim();
  }

  // Takes all of them, or the first `most`, linked through `next`, in order.
  WaitNode* TakeAll(size_t most = std::numeric_limits<size_t>::max()) {
    WaitNode* all = nullptr;
    WaitNode** end = &all;
    for (size_t i = 0; i < most; ++i) {
      WaitNode* const node = Take();
      if (node == nullptr) break;
      node->next = nullptr;
      *end = node;
      end = &node->next;
    }
    return all;
  }

 private:
  WaitNode* first_ = nullptr;
  WaitNode* last_ = nullptr;
};

// Finishes a list that TakeAll returned.
inline void FinishAll(WaitNode* nodes, WaitStatus how) {
  while (nodes != nullptr) {
    WaitNode* const next = nodes->next;  // the node is gone once finished
    nodes->Finish(how);
    nodes = next;
  }
}

// As WaitInQueue, where `limits` limit.
template <typename Object>
[[gnu::noinline]] WaitStatus WaitInQueueWithin(
    const WaitLimits& limits, WaitQueue& queue, SpinLock& lock, WaitReason reason, Object* object,
    void* slot, int64_t detail, WaitStatus (*give_up)(Object* object, bool linked, WaitStatus)) {
  ClaimWaiter waiter;
  WaitNode node(waiter, slot);
  node.detail = detail;
  queue.PushBack(&node);
  lock.unlock();
  WaitStatus status = WaitClaimed(waiter, limits, reason, object);
  if (status == WaitStatus::kOk) return node.status;
  lock.lock();
  const bool linked = queue.Remove(&node);
  if (give_up != nullptr) status = give_up(object, linked, status);
  lock.unlock();
  return status;
}

// The usual wait: links a node for the caller at the end of `queue`, releases `lock` (held by the
// caller) and waits within `limits`. Without the lock on return. A node whose owner gave up is out
// of the queue then. `give_up`, if any, is called under the lock when that happens, for what the
// object must mend; it is told whether the node was still linked, and may change the status.
// Blocks: the task or the plain thread.
template <typename Object>
[[gnu::always_inline]] inline WaitStatus WaitInQueue(
    WaitQueue& queue, SpinLock& lock, const WaitLimits& limits, WaitReason reason, Object* object,
    void* slot, int64_t detail = 0,
    WaitStatus (*give_up)(Object* object, bool linked, WaitStatus) = nullptr) {
  if (limits.limited()) [[unlikely]]
    return WaitInQueueWithin(limits, queue, lock, reason, object, slot, detail, give_up);
  Waiter waiter;
  WaitNode node(waiter, slot);
  node.detail = detail;
  queue.PushBack(&node);
  waiter.Wait(reason, object, lock);
  return node.status;
}

}  // namespace curg::internal
