// SPDX-License-Identifier: Apache-2.0
//
// Timers: one queue a processor, so that a hundred thousand sleepers do not share one lock: of
// timers that lie where their owners put them, and of tasks that only sleep.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <span>
#include <vector>

#include "runtime/monotonic_clock.h"
#include "runtime/page_allocator.h"
#include "runtime/spin_lock.h"

namespace curg::internal {

class Task;
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
// A sleeper is a task that nobody wakes before its time. It cannot be cancelled, so nothing needs
// to know where it is, and it is all in the queue: no memory of the task's is touched between its
// going to sleep and its waking up.
//
// Invariant  No timer's tick is before now_. Timers of a lower level are due before those of a
//            higher one. A slot's `first` is not after the tick of any timer in it; it may be
//            before, once that timer was cancelled. All this holds for sleepers, too.
//            There is room for sleepers_max_ sleepers, whichever slots they are in: so only adding
//            one can want memory, not moving it down.
// Layout     Timers lie on their tasks' stacks, in cache lines that are cold. So what is linked are
//            nodes in a dense array, and a timer knows its node's number. Sleepers lie one after
//            the other in their slot's chunks, of which only the first is not full; they are
//            written and read in sequence, where nodes are a cache miss each.
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

  // Adds a task that has parked until `when`. Returns true if it is now the earliest.
  bool AddSleeper(Task* task, int64_t when);

  // Takes `timer` out. False: it is about to fire, is firing, or has fired.
  static bool Cancel(Timer* timer);

  // Fires the timers that are due at `now`, in the order of their ticks, and hands due sleepers, in
  // the order of theirs, to `wake(std::span<Task* const>)`, without locks held and many at a time,
  // their records fetched. Stops after sleepers_max sleepers (not 0). Returns how many of both.
  template <typename Wake>
  size_t RunDue(int64_t now, size_t sleepers_max, Wake wake);

  // Moves all timers to `other`. Not while `other` is being moved here.
  void MoveTo(TimerQueue& other);

  // How many timers are armed, sleepers included.
  size_t size() {
    std::lock_guard lock(lock_);
    return timers_ + sleepers_;
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
  struct Sleeper {
    Task* task;
    uint64_t tick;
  };
  struct alignas(64) Chunk {
    static constexpr uint32_t kSize = 31;
    Chunk() {}  // NOLINT: not touched before it is used
    uint32_t next;
    std::array<Sleeper, kSize> sleepers;
  };
  struct Slot {
    uint64_t first = 0;      // the first tick in it
    uint32_t head = kNone;   // of its nodes
    uint32_t chunk = kNone;  // the first of its chunks
    uint32_t in_chunk = 0;   // how many sleepers that has: one at least
    bool Empty() const { return head == kNone && chunk == kNone; }
  };
  using Nodes = std::vector<Node, PageAllocator<Node>>;
  using Chunks = std::vector<Chunk, PageAllocator<Chunk>>;

  static constexpr size_t kSpare = 1024;  // sleepers that there is room for beyond those there are

  // So many are taken out under one lock, and fetched together.
  struct Due {
    std::array<Timer*, 16> timers;
    std::array<Task*, 32> sleepers;
    size_t timer_count = 0;
    size_t sleeper_count = 0;
  };

  static size_t Digit(uint64_t tick, size_t level) {
    return tick >> (kDigitBits * level) & (kSlots - 1);
  }
  static size_t LevelOf(uint64_t difference);

  // All with lock_ held.
  uint64_t TickOf(int64_t when) const;
  int64_t TimeOf(uint64_t tick) const { return static_cast<int64_t>(tick << tick_shift_); }
  uint64_t NextTick() const;
  void Publish();
  bool PublishIfEarliest(uint64_t tick);
  size_t SlotFor(uint64_t tick);
  void Vacate(size_t slot);
  void AddNode();
  void Insert(Timer* timer, uint64_t tick);
  Timer* Remove(uint32_t id);
  void Link(uint32_t id);
  bool Unlink(uint32_t id);
  static size_t ChunksFor(size_t sleepers);
  void MakeRoom(size_t more);
  void AddChunk(Slot& slot);
  void InsertSleeper(Task* task, uint64_t tick);
  Sleeper PopSleeper(Slot& slot);
  void AdvanceTo(uint64_t tick);
  void PopPresent(size_t sleepers_max, Due& due);
  void ShrinkIfSparse();
  void ShrinkNodes();
  void ShrinkChunks();

  void PopDue(int64_t now, size_t sleepers_max, Due& due);

  const int tick_shift_;
  SpinLock lock_;
  // All guarded by lock_.
  uint64_t now_ = 0;  // the tick up to which timers have been fired
  size_t timers_ = 0;
  uint32_t free_ = kNone;
  Nodes nodes_;  // by id
  size_t sleepers_ = 0;
  size_t sleepers_max_ = 0;
  uint32_t free_chunk_ = kNone;
  Chunks chunks_;
  std::array<Slot, kLevels * kSlots> slots_;
  std::array<uint64_t, kLevels> occupied_ = {};  // a bit for each slot that is not empty
  std::atomic<int64_t> earliest_{kNever};
};

template <typename Wake>
size_t TimerQueue::RunDue(int64_t now, size_t sleepers_max, Wake wake) {
  size_t fired = 0;
  while (sleepers_max > 0 && Earliest() <= now) {
    Due due;
    PopDue(now, sleepers_max, due);
    for (size_t i = 0; i < due.timer_count; ++i) due.timers[i]->fire(due.timers[i]);
    if (due.sleeper_count > 0) wake(std::span<Task* const>(due.sleepers.data(), due.sleeper_count));
    fired += due.timer_count + due.sleeper_count;
    sleepers_max -= due.sleeper_count;
  }
  return fired;
}

}  // namespace curg::internal
