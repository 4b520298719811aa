// SPDX-License-Identifier: Apache-2.0
//
// ChannelCore: what a channel does, over elements it knows only by address. Channel<T> (channel.h)
// is the typed face; the algorithm is compiled once, but for the case in which nobody waits.
//
//   sender --element--> [ring of `capacity`] --optional--> receiver
//          `--------------- hand-off --------------------^
//
// Hand-off   A receiver that waits has put the address of its std::optional<T> into its node; the
//            sender takes the node under the lock, moves the element there after releasing it, and
//            wakes the receiver to run next. An element crosses an unbuffered channel with one
//            move.
// Invariant  receivers wait only while the ring is empty and no sender waits; senders wait only
//            while the ring is full; nobody waits in a closed channel. (A select may stand in both
//            queues.)
// Lifetime   The last access of an operation to the channel is its unlock: whoever received the
//            last value may destroy the channel at once. What follows the unlock touches the
//            partner's node only.
// Rejected   A lock-free ring: direct hand-off and select need sender, receiver and queue to change
//            together, and the uncontended lock costs one exchange. Moving the element under the
//            lock: a user's move constructor has no place there; only the ring's elements are,
//            since the lock guards them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "runtime/sync/wait_queue.h"

namespace curg {

// Thrown by a send on a closed channel; says which task sent.
class ChannelClosed : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

namespace internal {

[[noreturn]] void ThrowChannelClosed();

// What is done with elements of one type. None may throw, or touch the channel.
struct ElementOps {
  size_t size;
  size_t alignment;
  void (*emplace)(void* optional, void* from);  // into an empty std::optional<T>, by move
  void (*store)(void* raw, void* from);         // into raw memory, by move
  void (*destroy)(void* element);
};

// Thread-safe, but for construction and destruction.
class ChannelCore {
 public:
  static constexpr size_t kCapacityMax = std::numeric_limits<uint32_t>::max();

  // Throws std::length_error when the capacity is beyond kCapacityMax or memory's bounds.
  ChannelCore(size_t capacity, const ElementOps& ops);
  // Requires: nobody waits. Destroys what is left in the ring.
  ~ChannelCore();
  ChannelCore(const ChannelCore&) = delete;
  ChannelCore& operator=(const ChannelCore&) = delete;

  // Moves from `element` if and only if the result is kOk. kClosed, or as `limits` say.
  // Blocks: the task or the plain thread.
  template <typename T>
  WaitStatus Send(T* element, const WaitLimits& limits) {
    lock_.lock();
    return PushIfUsual(element) ? WaitStatus::kOk : SendLocked(element, limits);
  }
  // As Send; kWouldBlock instead of waiting. Blocks: nothing.
  template <typename T>
  WaitStatus TrySend(T* element) {
    lock_.lock();
    return PushIfUsual(element) ? WaitStatus::kOk : TrySendLocked(element);
  }

  // Fills `slot`, which is empty, if and only if the result is kOk. kClosed when closed and
  // drained.
  // Blocks: the task or the plain thread.
  template <typename T>
  WaitStatus Receive(std::optional<T>* slot, const WaitLimits& limits) {
    lock_.lock();
    return PopIfUsual(slot) ? WaitStatus::kOk : ReceiveLocked(slot, limits);
  }
  // As Receive; kWouldBlock instead of waiting. Blocks: nothing.
  template <typename T>
  WaitStatus TryReceive(std::optional<T>* slot) {
    lock_.lock();
    return PopIfUsual(slot) ? WaitStatus::kOk : TryReceiveLocked(slot);
  }

  // True if this call closed it. Wakes everybody who waits. Blocks: nothing.
  bool Close();

  size_t capacity() const { return capacity_; }
  // Hints: may be out of date when they return.
  size_t size();
  bool closed();

 private:
  friend class SelectCore;
  friend struct SyncProbe;  // tests

  // What was decided under the lock, and is still to be done after it.
  struct Step {
    WaitStatus status;
    WaitNode* partner = nullptr;  // taken; to be finished
    bool move = false;            // the element goes to or from the partner's slot
  };

  // All down to the ring with lock_ held.

  // The usual case of a buffered channel, in which nobody waits, without calls: where T is known, a
  // move is an instruction or two. True: done, and the lock is released.
  template <typename T>
  bool PushIfUsual(T* element) {
    if (count_ == capacity_ || closed_ || !receivers_.empty()) return false;
    ::new (At(count_, sizeof(T))) T(std::move(*element));
    ++count_;
    lock_.unlock();
    return true;
  }
  template <typename T>
  bool PopIfUsual(std::optional<T>* slot) {
    if (count_ == 0 || !senders_.empty()) return false;
    T* const oldest = static_cast<T*>(At(0, sizeof(T)));
    slot->emplace(std::move(*oldest));
    oldest->~T();
    DropOldest();
    lock_.unlock();
    return true;
  }

  // Every case. Return without the lock.
  WaitStatus SendLocked(void* element, const WaitLimits& limits);
  WaitStatus TrySendLocked(void* element);
  WaitStatus ReceiveLocked(void* slot, const WaitLimits& limits);
  WaitStatus TryReceiveLocked(void* slot);

  // kWouldBlock: nothing was done. The second half comes without the lock.
  [[gnu::always_inline]] Step StepSend(void* element) {
    if (closed_) return {WaitStatus::kClosed};
    if (WaitNode* receiver = receivers_.Take()) return {WaitStatus::kOk, receiver, true};
    if (count_ == capacity_) return {WaitStatus::kWouldBlock};
    PushRing(element);
    return {WaitStatus::kOk};
  }
  [[gnu::always_inline]] WaitStatus EndSend(const Step& step, void* element) {
    if (step.partner != nullptr) {
      ops_.emplace(step.partner->slot, element);
      step.partner->Finish(WaitStatus::kOk);
    }
    return step.status;
  }
  [[gnu::always_inline]] Step StepReceive(void* slot) {
    if (count_ > 0) {
      PopRing(slot);
      WaitNode* const sender = senders_.Take();
      if (sender != nullptr) PushRing(sender->slot);
      return {WaitStatus::kOk, sender, false};
    }
    if (WaitNode* sender = senders_.Take()) return {WaitStatus::kOk, sender, true};
    return {closed_ ? WaitStatus::kClosed : WaitStatus::kWouldBlock};
  }
  [[gnu::always_inline]] WaitStatus EndReceive(const Step& step, void* slot) {
    if (step.partner != nullptr) {
      if (step.move) ops_.emplace(slot, step.partner->slot);
      step.partner->Finish(WaitStatus::kOk);
    }
    return step.status;
  }

  // The `index`th place behind the oldest element.
  void* At(uint64_t index, size_t element_size) {
    uint64_t place = head_ + index;
    if (place >= capacity_) place -= capacity_;
    return ring_ + place * element_size;
  }
  void PushRing(void* element);
  void PopRing(void* slot);
  void DropOldest() {
    if (++head_ == capacity_) head_ = 0;
    --count_;
  }

  SpinLock lock_;
  bool closed_ = false;
  const uint32_t capacity_;
  uint32_t head_ = 0;   // of the oldest element
  uint32_t count_ = 0;  // of elements in the ring
  const ElementOps& ops_;
  char* ring_ = nullptr;
  WaitQueue senders_;
  WaitQueue receivers_;
};

}  // namespace internal
}  // namespace curg
