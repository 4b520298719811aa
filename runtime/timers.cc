// SPDX-License-Identifier: Apache-2.0
#include "runtime/timers.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <new>
#include <utility>

#include "runtime/check.h"

namespace curg::internal {

// The highest digit in which two ticks differ.
inline size_t TimerQueue::LevelOf(uint64_t difference) {
  return static_cast<size_t>(std::bit_width(difference | 1) - 1) / kDigitBits;
}

// The first tick that begins at `when` or later, unless that is gone.
uint64_t TimerQueue::TickOf(int64_t when) const {
  const uint64_t rest = (uint64_t{1} << tick_shift_) - 1;
  const uint64_t tick = (static_cast<uint64_t>(std::max<int64_t>(when, 0)) + rest) >> tick_shift_;
  return std::clamp(tick, now_, static_cast<uint64_t>(kNever) >> tick_shift_);
}

// The first tick that has a timer, or had one.
uint64_t TimerQueue::NextTick() const {
  for (size_t level = 0; level < kLevels; ++level) {
    const uint64_t from_now = occupied_[level] & (~uint64_t{0} << Digit(now_, level));
    if (from_now == 0) continue;
    return slots_[level * kSlots + static_cast<size_t>(std::countr_zero(from_now))].first;
  }
  return std::numeric_limits<uint64_t>::max();
}

void TimerQueue::Publish() {
  // seq_cst: with the loads of workers going to sleep, as for every other kind of work
  earliest_.store(timers_ + sleepers_ == 0 ? kNever : TimeOf(NextTick()),
                  std::memory_order_seq_cst);
}

bool TimerQueue::PublishIfEarliest(uint64_t tick) {
  if (TimeOf(tick) >= earliest_.load(std::memory_order_relaxed)) return false;
  earliest_.store(TimeOf(tick), std::memory_order_seq_cst);  // seq_cst: as in Publish()
  return true;
}

// Where what fires at `tick` belongs, and will be.
inline size_t TimerQueue::SlotFor(uint64_t tick) {
  const size_t level = LevelOf(tick ^ now_);
  const size_t digit = Digit(tick, level);
  Slot& slot = slots_[level * kSlots + digit];
  slot.first = slot.Empty() ? tick : std::min(slot.first, tick);
  occupied_[level] |= uint64_t{1} << digit;
  return level * kSlots + digit;
}

// Nothing is in that slot any more.
void TimerQueue::Vacate(size_t slot) {
  occupied_[slot / kSlots] &= ~(uint64_t{1} << slot % kSlots);
}

void TimerQueue::Link(uint32_t id) {
  Node& node = nodes_[id];
  const size_t at = SlotFor(node.tick);
  node.slot = static_cast<uint16_t>(at);
  Slot& slot = slots_[at];
  node.previous = kNone;
  node.next = slot.head;
  if (slot.head != kNone) nodes_[slot.head].previous = id;
  slot.head = id;
}

// True: its slot is empty now.
bool TimerQueue::Unlink(uint32_t id) {
  const Node& node = nodes_[id];
  if (node.next != kNone) nodes_[node.next].previous = node.previous;
  if (node.previous != kNone) {
    nodes_[node.previous].next = node.next;
    return false;
  }
  Slot& slot = slots_[node.slot];
  slot.head = node.next;
  if (!slot.Empty()) return false;
  Vacate(node.slot);
  return true;
}

// Whoever sets a timer is in a queue of waiters already, or about to: nothing could be taken back.
void TimerQueue::AddNode() {
  const auto id = static_cast<uint32_t>(nodes_.size());
  try {
    nodes_.emplace_back();
  } catch (const std::bad_alloc&) {
    CURG_CHECK(false, "no memory is left for the program's timers");
  }
  free_ = id;
}

void TimerQueue::Insert(Timer* timer, uint64_t tick) {
  if (free_ == kNone) AddNode();
  const uint32_t id = free_;
  free_ = nodes_[id].next;
  nodes_[id].timer = timer;
  nodes_[id].tick = tick;
  timer->id = id;
  timer->queue.store(this, std::memory_order_release);  // release: pairs with Cancel()
  Link(id);
  ++timers_;
}

// Frees a node that is not linked any more.
Timer* TimerQueue::Remove(uint32_t id) {
  nodes_[id].next = std::exchange(free_, id);
  --timers_;
  return std::exchange(nodes_[id].timer, nullptr);
}

bool TimerQueue::Add(Timer* timer) {
  std::lock_guard lock(lock_);
  const uint64_t tick = TickOf(timer->when);
  Insert(timer, tick);
  return PublishIfEarliest(tick);
}

// Chunks that are full, the first of each slot, and that of a slot that is just being emptied.
size_t TimerQueue::ChunksFor(size_t sleepers) {
  return sleepers / Chunk::kSize + kLevels * kSlots + 1;
}

// For so many more sleepers. Memory that is not needed yet is not touched.
// Not inlined, nor is AddChunk: what a task calls on its way to sleep is to need little stack.
[[gnu::noinline]] void TimerQueue::MakeRoom(size_t more) {
  const size_t max = 2 * sleepers_ + more + kSpare;
  try {
    chunks_.reserve(ChunksFor(max));
  } catch (const std::bad_alloc&) {
    CURG_CHECK(false, "no memory is left for the program's timers");
  }
  sleepers_max_ = max;
}

// There is room.
[[gnu::noinline]] void TimerQueue::AddChunk(Slot& slot) {
  uint32_t id = free_chunk_;
  if (id != kNone) {
    free_chunk_ = chunks_[id].next;
  } else {
    id = static_cast<uint32_t>(chunks_.size());
    chunks_.emplace_back();
  }
  chunks_[id].next = slot.chunk;
  slot.chunk = id;
  slot.in_chunk = 0;
}

// There is room.
inline void TimerQueue::InsertSleeper(Task* task, uint64_t tick) {
  Slot& slot = slots_[SlotFor(tick)];
  if (slot.chunk == kNone || slot.in_chunk == Chunk::kSize) AddChunk(slot);
  chunks_[slot.chunk].sleepers[slot.in_chunk++] = {.task = task, .tick = tick};
}

// Requires: the slot has one. Leaves it to the caller to count, and to Vacate.
TimerQueue::Sleeper TimerQueue::PopSleeper(Slot& slot) {
  Chunk& chunk = chunks_[slot.chunk];
  const Sleeper sleeper = chunk.sleepers[--slot.in_chunk];
  if (slot.in_chunk == 0) {
    const uint32_t next = std::exchange(chunk.next, free_chunk_);
    free_chunk_ = std::exchange(slot.chunk, next);
    slot.in_chunk = Chunk::kSize;
  }
  return sleeper;
}

[[gnu::flatten]] bool TimerQueue::AddSleeper(Task* task, int64_t when) {
  std::lock_guard lock(lock_);
  if (sleepers_ == sleepers_max_) [[unlikely]]
    MakeRoom(1);
  const uint64_t tick = TickOf(when);
  InsertSleeper(task, tick);
  ++sleepers_;
  return PublishIfEarliest(tick);
}

// After many timers there are only few: gives the memory back by numbering them anew.
void TimerQueue::ShrinkIfSparse() {
  constexpr size_t kWorthwhile = 1024;
  if (nodes_.size() >= kWorthwhile && timers_ <= nodes_.size() / 16) ShrinkNodes();
  constexpr size_t kWorthwhileChunks = 256;
  if (chunks_.size() >= kWorthwhileChunks && sleepers_ <= chunks_.size() / 2) ShrinkChunks();
}

void TimerQueue::ShrinkNodes() {
  Nodes old;
  try {
    old.reserve(timers_);
  } catch (const std::bad_alloc&) {
    return;
  }
  nodes_.swap(old);
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (std::exchange(slots_[i].head, kNone) != kNone && slots_[i].Empty()) Vacate(i);
  }
  free_ = kNone;
  timers_ = 0;
  for (const Node& node : old) {
    if (node.timer != nullptr) Insert(node.timer, node.tick);
  }
}

void TimerQueue::ShrinkChunks() {
  const size_t max = sleepers_ + kSpare;
  Chunks old;
  try {
    old.reserve(ChunksFor(max));
  } catch (const std::bad_alloc&) {
    return;
  }
  chunks_.swap(old);
  sleepers_max_ = max;
  free_chunk_ = kNone;
  for (Slot& slot : slots_) {
    uint32_t count = slot.in_chunk;
    // Each goes back into the same slot: the present tick is what it was.
    for (uint32_t id = std::exchange(slot.chunk, kNone); id != kNone; id = old[id].next) {
      for (uint32_t i = 0; i < count; ++i) {
        InsertSleeper(old[id].sleepers[i].task, old[id].sleepers[i].tick);
      }
      count = Chunk::kSize;
    }
  }
}

bool TimerQueue::Cancel(Timer* timer) {
  TimerQueue* queue = timer->queue.load(std::memory_order_acquire);  // acquire: pairs with Insert()
  if (queue == nullptr) return false;
  std::unique_lock lock(queue->lock_);
  // It may have moved before the lock was taken, but not since.
  for (TimerQueue* now; (now = timer->queue.load(std::memory_order_acquire)) != queue;
       queue = now) {
    lock = std::unique_lock(now->lock_);
  }
  const uint32_t id = timer->id;
  if (id >= queue->nodes_.size() || queue->nodes_[id].timer != timer) return false;
  const bool slot_is_empty = queue->Unlink(id);
  queue->Remove(id);
  if (slot_is_empty) queue->Publish();
  queue->ShrinkIfSparse();
  return true;
}

void TimerQueue::MoveTo(TimerQueue& other) {
  std::scoped_lock lock(lock_, other.lock_);
  for (const Node& node : nodes_) {
    if (node.timer != nullptr) other.Insert(node.timer, std::max(node.tick, other.now_));
  }
  if (other.sleepers_ + sleepers_ > other.sleepers_max_) other.MakeRoom(sleepers_);
  for (Slot& slot : slots_) {
    while (slot.chunk != kNone) {
      const Sleeper sleeper = PopSleeper(slot);
      other.InsertSleeper(sleeper.task, std::max(sleeper.tick, other.now_));
    }
  }
  other.sleepers_ += std::exchange(sleepers_, 0);
  nodes_ = Nodes();
  chunks_ = Chunks();
  sleepers_max_ = 0;
  slots_.fill({});
  occupied_ = {};
  free_ = free_chunk_ = kNone;
  timers_ = 0;
  Publish();
  other.Publish();
}

// Makes `tick` the present one. Requires: no timer is due before it. What this tick's slot of a
// higher level has moves down; slots of the levels below that belong to times gone by: empty.
void TimerQueue::AdvanceTo(uint64_t tick) {
  const size_t level = LevelOf(std::exchange(now_, tick) ^ tick);
  if (level == 0) return;
  const size_t at = level * kSlots + Digit(tick, level);
  Slot& slot = slots_[at];
  Vacate(at);
  uint32_t id = std::exchange(slot.head, kNone);
  while (id != kNone) {
    const uint32_t next = nodes_[id].next;
    Link(id);
    id = next;
  }
  while (slot.chunk != kNone) {
    const Sleeper sleeper = PopSleeper(slot);
    InsertSleeper(sleeper.task, sleeper.tick);
  }
}

// Takes out what is due at the present tick, as much as there is room for.
void TimerQueue::PopPresent(size_t sleepers_max, Due& due) {
  const size_t at = Digit(now_, 0);
  Slot& present = slots_[at];
  while (due.timer_count < due.timers.size() && present.head != kNone) {
    const uint32_t id = present.head;
    Unlink(id);
    Timer* const timer = Remove(id);
    due.timers[due.timer_count++] = timer;
    __builtin_prefetch(timer);
  }
  if (present.chunk == kNone) return;
  while (due.sleeper_count < sleepers_max && present.chunk != kNone) {
    Task* const task = PopSleeper(present).task;
    due.sleepers[due.sleeper_count++] = task;
    __builtin_prefetch(task, /*rw=*/1);
    --sleepers_;
  }
  if (present.Empty()) Vacate(at);
}

// Takes out what is due, the earliest first, as much as there is room for.
void TimerQueue::PopDue(int64_t now, size_t sleepers_max, Due& due) {
  std::lock_guard lock(lock_);
  sleepers_max = std::min(sleepers_max, due.sleepers.size());
  const uint64_t last = static_cast<uint64_t>(now) >> tick_shift_;
  while (true) {
    PopPresent(sleepers_max, due);
    if (due.timer_count == due.timers.size() || due.sleeper_count == sleepers_max) break;
    const uint64_t next = NextTick();
    if (next > last) {
      if (last > now_) AdvanceTo(last);
      break;
    }
    AdvanceTo(next);
  }
  Publish();
  ShrinkIfSparse();
}

}  // namespace curg::internal
