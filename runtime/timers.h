// SPDX-License-Identifier: Apache-2.0
//
// Timers: one queue a processor, of intrusive entries, so that sleeping allocates nothing and a
// hundred thousand sleepers do not share one lock.
#pragma once

#include <array>
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
  // Runs on a worker's system stack (never on a task), without locks held. May Unpark; must not
  // park. The Timer may be reused or gone as soon as fire was entered.
  void (*fire)(Timer* timer) = nullptr;
  int64_t when = 0;  // MonotonicNow() at which it is due

  // The queue's; `id` is under its lock.
  std::atomic<TimerQueue*> queue{nullptr};  // changes under the locks of both queues
  uint32_t id = 0;
};

// A hierarchical wheel of ticks: level 0 has a slot for each of the next 64 ticks, level 1 for each
// of the next 64 times 64, and so on. A timer is in the level of the highest of its tick's six-bit
// digits that differs from now_'s, in the slot that this digit names; as now_ comes to a slot of a
// higher level, the slot's timers move down. So adding and cancelling take the same time however
// many there are.
//
// A timer fires when its tick begins, the first that does so not before it is due: never early, and
// up to a tick late, which is less than the kernel's timers are.
//
// Invariant  No timer's tick is before now_. Timers of a lower level are due before those of a
//            higher one. A slot's `first` is not after the tick of any timer in it; it may be
//            before, once that timer was cancelled.
// Layout     Timers lie on their tasks' stacks, in cache lines that are cold. So what is linked are
//            nodes in a dense array, and a timer knows its node's number.
// Rejected   A 4-ary heap: exact, but two to five times as slow (README.md has the figures).
// Thread-safe: any thread may add, cancel or run.
class TimerQueue {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  static constexpr int kTickShift = 13;  // a tick is 8.2 us

  // A tick is 2^tick_shift ns.
  explicit TimerQueue(int tick_shift = kTickShift) : tick_shift_(tick_shift) {}

  // Adds `timer`, which is in no queue. Returns true if it is now the earliest.
  bool Add(Timer* timer);

  // Takes `timer` out. False: it is about to fire, is firing, or has fired.
  static bool Cancel(Timer* timer);

  // Fires what is due at `now`, in the order of its ticks; returns how many.
  size_t RunDue(int64_t now);

  // Moves all timers to `other`. Not while `other` is being moved here.
  void MoveTo(TimerQueue& other);

  // How many timers are armed.
  size_t size() {
    std::lock_guard lock(lock_);
    return armed_;
  }

  // When the earliest fires, or sooner if an earlier one was cancelled; or kNever. A hint for other
  // threads: read without the lock.
  int64_t Earliest() const {
    return earliest_.load(std::memory_order_seq_cst);  // with Publish(); see Scheduler on going to
                                                       // sleep
  }

 private:
  static constexpr int kDigitBits = 6;
  static constexpr size_t kSlots = size_t{1} << kDigitBits;
  static constexpr size_t kLevels = 11;  // 63 bits
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  struct Node {
    Timer* timer = nullptr;  // null: free
    uint64_t tick = 0;
    uint32_t next = kNone;  // of the slot's, or of the free ones
    uint32_t previous = kNone;
    uint16_t slot = 0;  // in slots_
  };
  struct Slot {
    uint64_t first = 0;  // the first tick in it
    uint32_t head = kNone;
  };
  using Nodes = std::vector<Node, PageAllocator<Node>>;

  // So many timers are taken out under one lock, and fetched together.
  static constexpr size_t kBatch = 16;

  static size_t Digit(uint64_t tick, size_t level) {
    return tick >> (kDigitBits * level) & (kSlots - 1);
  }
  static size_t LevelOf(uint64_t difference);

  // All with lock_ held.
  uint64_t TickOf(int64_t when) const;
  int64_t TimeOf(uint64_t tick) const { return static_cast<int64_t>(tick << tick_shift_); }
  uint64_t NextTick() const;
  void Publish();
  void AddNode();
  void Insert(Timer* timer, uint64_t tick);
  Timer* Remove(uint32_t id);
  void Link(uint32_t id);
  bool Unlink(uint32_t id);
  void AdvanceTo(uint64_t tick);
  size_t PopDue(int64_t now, Timer** due);
  void ShrinkIfSparse();

  const int tick_shift_;
  SpinLock lock_;
  // All guarded by lock_.
  uint64_t now_ = 0;  // the tick up to which timers have been fired
  size_t armed_ = 0;
  uint32_t free_ = kNone;
  Nodes nodes_;  // by id
  std::array<Slot, kLevels * kSlots> slots_;
  std::array<uint64_t, kLevels> occupied_ = {};  // a bit for each slot that has a timer
  std::atomic<int64_t> earliest_{kNever};
};

}  // namespace curg::internal
