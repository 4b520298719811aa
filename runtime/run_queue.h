// SPDX-License-Identifier: Apache-2.0
//
// RunQueue: a processor's runnable tasks. Its owner pushes and pops; thieves take up to half of it.
//
//   ring      ring_[head_ % N] .. ring_[tail_ % N): FIFO; head_ and tail_ only grow (and wrap at
//             2^32).
//
// Invariant  0 <= tail_ - head_ <= N. Each queued task is in exactly one place.
// Ownership  tail_ and the elements outside [head_, tail_) belong to the owner. head_ is advanced
//            by compare-and-swap only, by owner and thieves alike; whoever advances it past an
//            element owns that element. An element is read before the swap: if the swap fails, the
//            value read is thrown away (the owner may have overwritten it meanwhile, hence ring_ is
//            atomic).
// Ordering   tail_: release in Push (publishes elements), acquire by thieves.
//            head_: release in the swap (elements were read), acquire in Push (they may be
//            overwritten).
// ABA        head_ would have to wrap around 2^32 between a thief's load and its swap.
// Size       with room for 1024, and 128 at a time to leave it, trees of tasks mostly stay here and
//            need few stacks at once: a million leaves take 0.65 of the time they take with room
//            for 256, or 0.72 of that with 512 at a time.
// Rejected   Chase-Lev deque: LIFO starves the oldest; a lock: thieves stall the owner.
//
// As Go's runq (runqput, runqget, runqgrab) and tokio's queue.rs.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace curg::internal {

class Task;

// `T` is Task; `Atomic` is std::atomic, or a checker's in tests, where the ring is smaller too.
template <typename T = Task, uint32_t kCapacity = 1024,
          template <typename> typename Atomic = std::atomic>
class RunQueue {
  static_assert((kCapacity & (kCapacity - 1)) == 0, "indices wrap by masking");

 public:
  // How many leave the ring together at most, for the global queue (this many pointers then lie on
  // the stack of the task that fills it) or for a thief (who must copy them before the owner takes
  // the next few).
  static constexpr uint32_t kPart = kCapacity < 16 ? kCapacity / 2 : kCapacity / 8;

  // Puts `task` last. False: full. Owner only.
  bool Push(T* task) {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);  // relaxed: only the owner writes
                                                                  // it
    const uint32_t head = head_.load(std::memory_order_acquire);  // acquire: pairs with Advance()
    if (tail - head == kCapacity) return false;
    At(tail).store(task, std::memory_order_relaxed);
    tail_.store(tail + 1, std::memory_order_release);  // release: pairs with StealFrom()
    return true;
  }

  // Takes the first kPart out of a full ring into `out`, for the global queue. Returns how many: 0
  // when thieves were faster, and there is room again. Owner only.
  size_t PopPart(std::span<T*, kPart> out) {
    uint32_t head = head_.load(std::memory_order_acquire);  // acquire: pairs with Advance()
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head < kPart) return 0;
    for (uint32_t i = 0; i < kPart; ++i) out[i] = At(head + i).load(std::memory_order_relaxed);
    return Advance(head, kPart) ? kPart : 0;
  }

  // Takes the first tasks of the ring: half of them, rounded up, and at most as many as `out`
  // holds. Returns how many. Owner only.
  size_t PopBatch(std::span<T*> out) {
    uint32_t head = head_.load(std::memory_order_acquire);  // acquire: pairs with Advance()
    while (true) {
      const uint32_t size = tail_.load(std::memory_order_relaxed) - head;
      const uint32_t count = std::min<uint32_t>(size - size / 2, static_cast<uint32_t>(out.size()));
      for (uint32_t i = 0; i < count; ++i) out[i] = At(head + i).load(std::memory_order_relaxed);
      if (count == 0 || Advance(head, count)) return count;
    }
  }

  // Takes the first of the ring, or null. Owner only.
  T* Pop() {
    uint32_t head = head_.load(std::memory_order_acquire);  // acquire: pairs with Advance()
    while (true) {
      const uint32_t tail = tail_.load(std::memory_order_relaxed);
      if (head == tail) return nullptr;
      T* task = At(head).load(std::memory_order_relaxed);
      if (Advance(head, 1)) return task;
    }
  }

  // Moves half of `victim`'s ring here, rounded up, at most kPart, and returns one of those tasks,
  // or null when there was none.
  // Owner only (of this one); this ring must be empty. May run in parallel with everything on
  // `victim`.
  T* StealFrom(RunQueue& victim) {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    uint32_t head = victim.head_.load(std::memory_order_acquire);  // acquire: pairs with Advance()
    uint32_t count;
    do {
      // acquire: pairs with Push()
      const uint32_t victim_tail = victim.tail_.load(std::memory_order_acquire);
      const uint32_t size = victim_tail - head;
      if (size > kCapacity) {  // head was old when tail was read
        head = victim.head_.load(std::memory_order_acquire);
        count = 0;
        continue;
      }
      count = std::min(size - size / 2, kPart);
      if (count == 0) return nullptr;
      for (uint32_t i = 0; i < count; ++i) {
        At(tail + i).store(victim.At(head + i).load(std::memory_order_relaxed),
                           std::memory_order_relaxed);
      }
    } while (count == 0 || !victim.Advance(head, count));
    T* task = At(tail + count - 1).load(std::memory_order_relaxed);
    // release: as in Push()
    if (count > 1) tail_.store(tail + count - 1, std::memory_order_release);
    return task;
  }

  // The task after the next `ahead` ones of the ring, or null, to fetch its memory. A hint: it may
  // have been taken meanwhile. Owner only.
  T* Peek(uint32_t ahead) const {
    const uint32_t at = head_.load(std::memory_order_relaxed) + ahead;
    const uint32_t left = tail_.load(std::memory_order_relaxed) - at;
    return left - 1 < kCapacity ? ring_[at % kCapacity].load(std::memory_order_relaxed) : nullptr;
  }

  // Tasks in the ring; a hint for others than the owner, but 0 only if it was empty at some instant
  // of the call. Thread-safe.
  uint32_t size() const {
    const uint32_t head = head_.load(std::memory_order_seq_cst);
    const uint32_t tail = tail_.load(std::memory_order_seq_cst);
    return std::min(tail - head, kCapacity);  // more: head was old when tail was read
  }

 private:
  Atomic<T*>& At(uint32_t index) { return ring_[index % kCapacity]; }

  // Claims `count` elements from `head`; on failure `head` is the present one.
  bool Advance(uint32_t& head, uint32_t count) {
    // release: pairs with the acquire in Push(); acquire: pairs with the other claims; seq_cst: the
    // owner then looks whether anybody sleeps (Scheduler::WakeForRest)
    return head_.compare_exchange_strong(head, head + count, std::memory_order_seq_cst,
                                         std::memory_order_acquire);
  }

  alignas(64) Atomic<uint32_t> head_{0};
  alignas(64) Atomic<uint32_t> tail_{0};
  std::array<Atomic<T*>, kCapacity> ring_{};
};

}  // namespace curg::internal
