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
size_t TimerQueue::LevelOf(uint64_t difference) {
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
  earliest_.store(armed_ == 0 ? kNever : TimeOf(NextTick()), std::memory_order_seq_cst);
}

void TimerQueue::Link(uint32_t id) {
  Node& node = nodes_[id];
  const size_t level = LevelOf(node.tick ^ now_);
  const size_t digit = Digit(node.tick, level);
  node.slot = static_cast<uint16_t>(level * kSlots + digit);
  Slot& slot = slots_[node.slot];
  slot.first = slot.head == kNone ? node.tick : std::min(slot.first, node.tick);
  node.previous = kNone;
  node.next = slot.head;
  if (slot.head != kNone) nodes_[slot.head].previous = id;
  slot.head = id;
  occupied_[level] |= uint64_t{1} << digit;
}

// True: its slot is empty now.
bool TimerQueue::Unlink(uint32_t id) {
  const Node& node = nodes_[id];
  if (node.next != kNone) nodes_[node.next].previous = node.previous;
  if (node.previous != kNone) {
    nodes_[node.previous].next = node.next;
    return false;
  }
  slots_[node.slot].head = node.next;
  if (node.next != kNone) return false;
  occupied_[node.slot / kSlots] &= ~(uint64_t{1} << node.slot % kSlots);
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
  ++armed_;
}

// Frees a node that is not linked any more.
Timer* TimerQueue::Remove(uint32_t id) {
  nodes_[id].next = std::exchange(free_, id);
  --armed_;
  return std::exchange(nodes_[id].timer, nullptr);
}

bool TimerQueue::Add(Timer* timer) {
  std::lock_guard lock(lock_);
  const uint64_t tick = TickOf(timer->when);
  Insert(timer, tick);
  if (TimeOf(tick) >= earliest_.load(std::memory_order_relaxed)) return false;
  earliest_.store(TimeOf(tick), std::memory_order_seq_cst);  // seq_cst: as in Publish()
  return true;
}

// After many timers there are only few: gives the memory back by numbering them anew.
void TimerQueue::ShrinkIfSparse() {
  constexpr size_t kWorthwhile = 1024;
  if (nodes_.size() < kWorthwhile || armed_ > nodes_.size() / 16) return;
  Nodes old;
  try {
    old.reserve(armed_);
  } catch (const std::bad_alloc&) {
    return;
  }
  nodes_.swap(old);
  slots_.fill({});
  occupied_ = {};
  free_ = kNone;
  armed_ = 0;
  for (const Node& node : old) {
    if (node.timer != nullptr) Insert(node.timer, node.tick);
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
  nodes_ = Nodes();
  slots_.fill({});
  occupied_ = {};
  free_ = kNone;
  armed_ = 0;
  Publish();
  other.Publish();
}

// Makes `tick` the present one. Requires: no timer is due before it. What this tick's slot of a
// higher level has moves down; slots of the levels below that belong to times gone by: empty.
void TimerQueue::AdvanceTo(uint64_t tick) {
  const size_t level = LevelOf(std::exchange(now_, tick) ^ tick);
  if (level == 0) return;
  const size_t digit = Digit(tick, level);
  uint32_t id = std::exchange(slots_[level * kSlots + digit].head, kNone);
  occupied_[level] &= ~(uint64_t{1} << digit);
  while (id != kNone) {
    const uint32_t next = nodes_[id].next;
    Link(id);
    id = next;
  }
}

// Takes up to kBatch due timers out, the earliest first.
size_t TimerQueue::PopDue(int64_t now, Timer** due) {
  std::lock_guard lock(lock_);
  const uint64_t last = static_cast<uint64_t>(now) >> tick_shift_;
  size_t count = 0;
  while (true) {
    const Slot& present = slots_[Digit(now_, 0)];
    while (count < kBatch && present.head != kNone) {
      const uint32_t id = present.head;
      Unlink(id);
      due[count] = Remove(id);
      __builtin_prefetch(due[count++]);
    }
    if (count == kBatch) break;
    const uint64_t next = NextTick();
    if (next > last) {
      if (last > now_) AdvanceTo(last);
      break;
    }
    AdvanceTo(next);
  }
  Publish();
  ShrinkIfSparse();
  return count;
}

size_t TimerQueue::RunDue(int64_t now) {
  size_t fired = 0;
  while (Earliest() <= now) {
    Timer* due[kBatch];
    const size_t count = PopDue(now, due);
    for (size_t i = 0; i < count; ++i) due[i]->fire(due[i]);
    fired += count;
  }
  return fired;
}

}  // namespace curg::internal
