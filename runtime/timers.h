// SPDX-License-Identifier: Apache-2.0
//
// Timers: one queue a processor, of intrusive entries, so that sleeping allocates nothing and a
// hundred thousand sleepers do not share one lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <vector>

#include "runtime/monotonic_clock.h"
#include "runtime/page_allocator.h"
#include "runtime/spin_lock.h"

namespace curg::internal {

class TimerQueue;

// One future call of `fire`. Lives where its owner put it, until it has fired or was cancelled.
struct Timer {
  // Runs on a worker's system stack (never on a task), without locks held. May Unpark; must not park.
  // The Timer may be reused or gone as soon as fire was entered.
  void (*fire)(Timer* timer) = nullptr;
  int64_t when = 0;  // MonotonicNow() at which it is due

  // The queue's; `id` is under its lock.
  std::atomic<TimerQueue*> queue{nullptr};  // changes under the locks of both queues
  uint32_t id = 0;
};

// A 4-ary heap: half the depth of a binary one, and the four children share a cache line. Where a timer is
// in the heap is kept in a dense array by id, not in the timer: timers lie on their tasks' stacks, and
// moving one in the heap must not touch cold memory.
// Thread-safe: any thread may add, cancel or run.
class TimerQueue {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // Adds `timer`, which is in no queue. Returns true if it is now the earliest.
  bool Add(Timer* timer);

  // Takes `timer` out. False: it is about to fire, is firing, or has fired.
  static bool Cancel(Timer* timer);

  // Fires what is due at `now`; returns how many.
  size_t RunDue(int64_t now);

  // Moves all timers to `other`. Not while `other` is being moved here.
  void MoveTo(TimerQueue& other);

  // How many timers are armed.
  size_t size() {
    std::lock_guard lock(lock_);
    return heap_.size();
  }

  // When the earliest is due, or kNever. A hint for other threads: read without the lock.
  int64_t Earliest() const {
    return earliest_.load(std::memory_order_seq_cst);  // with Publish(); see Scheduler on going to sleep
  }

 private:
  struct Slot {
    int64_t when;
    uint32_t id;
  };
  template <typename T>
  using Array = std::vector<T, PageAllocator<T>>;

  // So many timers are taken out under one lock, and fetched together.
  static constexpr size_t kBatch = 16;

  void Publish();
  void Place(size_t index, Slot slot);
  void SiftUp(size_t index, Slot slot);
  void SiftDown(size_t index, Slot slot);
  void Insert(int64_t when, Timer* timer);
  size_t PopDue(int64_t now, Timer** due);
  void RemoveAt(size_t index);
  void ShrinkIfSparse();

  SpinLock lock_;
  // All guarded by lock_.
  Array<Slot> heap_;
  Array<uint32_t> position_;  // by id: where in heap_
  Array<Timer*> timer_;       // by id
  Array<uint32_t> free_ids_;
  std::atomic<int64_t> earliest_{kNever};
};

}  // namespace curg::internal
