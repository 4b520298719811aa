// SPDX-License-Identifier: Apache-2.0
#include "runtime/timers.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace curg::internal {
namespace {

constexpr size_t kArity = 4;

}  // namespace

// With lock_ held, after every change of the heap.
void TimerQueue::Publish() {
  // seq_cst: with the loads of workers going to sleep, as for every other kind of work
  earliest_.store(heap_.empty() ? kNever : heap_.front().when, std::memory_order_seq_cst);
}

void TimerQueue::Place(size_t index, Slot slot) {
  heap_[index] = slot;
  position_[slot.id] = static_cast<uint32_t>(index);
}

void TimerQueue::SiftUp(size_t index, Slot slot) {
  while (index > 0) {
    const size_t parent = (index - 1) / kArity;
    if (heap_[parent].when <= slot.when) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, slot);
}

void TimerQueue::SiftDown(size_t index, Slot slot) {
  while (true) {
    const size_t first = index * kArity + 1;
    if (first >= heap_.size()) break;
    const size_t last = std::min(first + kArity, heap_.size());
    size_t least = first;
    for (size_t child = first + 1; child < last; ++child) {
      if (heap_[child].when < heap_[least].when) least = child;
    }
    if (slot.when <= heap_[least].when) break;
    Place(index, heap_[least]);
    index = least;
  }
  Place(index, slot);
}

void TimerQueue::RemoveAt(size_t index) {
  timer_[heap_[index].id] = nullptr;
  free_ids_.push_back(heap_[index].id);
  const Slot last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  if (index > 0 && last.when < heap_[(index - 1) / kArity].when) {
    SiftUp(index, last);
  } else {
    SiftDown(index, last);
  }
}

void TimerQueue::Insert(int64_t when, Timer* timer) {
  if (free_ids_.empty()) {
    free_ids_.push_back(static_cast<uint32_t>(timer_.size()));
    timer_.push_back(nullptr);
    position_.push_back(0);
  }
  timer->id = free_ids_.back();
  free_ids_.pop_back();
  timer_[timer->id] = timer;
  timer->queue.store(this, std::memory_order_release);  // release: pairs with Cancel()
  heap_.emplace_back();
  SiftUp(heap_.size() - 1, {when, timer->id});
}

bool TimerQueue::Add(Timer* timer) {
  std::lock_guard lock(lock_);
  Insert(timer->when, timer);
  if (position_[timer->id] != 0) return false;
  Publish();
  return true;
}

// With lock_ held. After many timers there are only few: gives the memory back by numbering them anew.
void TimerQueue::ShrinkIfSparse() {
  constexpr size_t kWorthwhile = 1024;
  if (timer_.size() < kWorthwhile || heap_.size() > timer_.size() / 16) return;
  const Array<Slot> old = std::exchange(heap_, {});
  Array<Timer*> left;
  for (const Slot& slot : old) left.push_back(timer_[slot.id]);
  position_ = Array<uint32_t>();  // `= {}` would keep the memory
  timer_ = Array<Timer*>();
  free_ids_ = Array<uint32_t>();
  for (size_t i = 0; i < left.size(); ++i) Insert(old[i].when, left[i]);
}

bool TimerQueue::Cancel(Timer* timer) {
  TimerQueue* queue = timer->queue.load(std::memory_order_acquire);  // acquire: pairs with Insert()
  if (queue == nullptr) return false;
  std::unique_lock lock(queue->lock_);
  // It may have moved before the lock was taken, but not since.
  for (TimerQueue* now; (now = timer->queue.load(std::memory_order_acquire)) != queue; queue = now) {
    lock = std::unique_lock(now->lock_);
  }
  if (timer->id >= queue->timer_.size() || queue->timer_[timer->id] != timer) return false;
  const size_t index = queue->position_[timer->id];
  queue->RemoveAt(index);
  if (index == 0) queue->Publish();
  queue->ShrinkIfSparse();
  return true;
}

void TimerQueue::MoveTo(TimerQueue& other) {
  std::scoped_lock lock(lock_, other.lock_);
  for (const Slot& slot : heap_) other.Insert(slot.when, timer_[slot.id]);
  heap_.clear();
  position_.clear();
  timer_.clear();
  free_ids_.clear();
  Publish();
  other.Publish();
}

// Takes up to kBatch due timers out, the earliest first.
size_t TimerQueue::PopDue(int64_t now, Timer** due) {
  std::lock_guard lock(lock_);
  size_t count = 0;
  while (count < kBatch && !heap_.empty() && heap_.front().when <= now) {
    due[count] = timer_[heap_.front().id];
    __builtin_prefetch(due[count++]);
    RemoveAt(0);
  }
  if (count > 0) Publish();
  ShrinkIfSparse();
  return count;
}

size_t TimerQueue::RunDue(int64_t now) {
  size_t fired = 0;
  while (Earliest() <= now) {
    Timer* due[kBatch];
    const size_t count = PopDue(now, due);
    if (count == 0) break;
    for (size_t i = 0; i < count; ++i) due[i]->fire(due[i]);
    fired += count;
  }
  return fired;
}

}  // namespace curg::internal
