// SPDX-License-Identifier: Apache-2.0
#include "runtime/timers.h"

#include <time.h>

#include <algorithm>
#include <mutex>

namespace curg::internal {
namespace {

constexpr size_t kArity = 4;

}  // namespace

int64_t MonotonicNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// With lock_ held, after every change of the heap.
void TimerQueue::Publish() {
  // seq_cst: with the loads of workers going to sleep, as for every other kind of work
  earliest_.store(heap_.empty() ? kNever : heap_.front().when, std::memory_order_seq_cst);
}

void TimerQueue::Place(size_t index, Slot slot) {
  heap_[index] = slot;
  slot.timer->index = index;
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
  const Slot last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  if (index > 0 && last.when < heap_[(index - 1) / kArity].when) {
    SiftUp(index, last);
  } else {
    SiftDown(index, last);
  }
}

bool TimerQueue::Add(Timer* timer) {
  std::lock_guard lock(lock_);
  timer->queue.store(this, std::memory_order_release);  // release: pairs with Cancel()
  heap_.emplace_back();
  SiftUp(heap_.size() - 1, {timer->when, timer});
  if (timer->index != 0) return false;
  Publish();
  return true;
}

bool TimerQueue::Cancel(Timer* timer) {
  TimerQueue* queue = timer->queue.load(std::memory_order_acquire);  // acquire: pairs with Add()
  if (queue == nullptr) return false;
  std::unique_lock lock(queue->lock_);
  // It may have moved before the lock was taken, but not since.
  for (TimerQueue* now; (now = timer->queue.load(std::memory_order_acquire)) != queue; queue = now) {
    lock = std::unique_lock(now->lock_);
  }
  const size_t index = timer->index;
  if (index >= queue->heap_.size() || queue->heap_[index].timer != timer) return false;
  queue->RemoveAt(index);
  if (index == 0) queue->Publish();
  return true;
}

void TimerQueue::MoveTo(TimerQueue& other) {
  std::scoped_lock lock(lock_, other.lock_);
  for (const Slot& slot : heap_) {
    slot.timer->queue.store(&other, std::memory_order_release);  // release: pairs with Cancel()
    other.heap_.emplace_back();
    other.SiftUp(other.heap_.size() - 1, slot);
  }
  heap_.clear();
  Publish();
  other.Publish();
}

Timer* TimerQueue::PopDue(int64_t now) {
  std::lock_guard lock(lock_);
  if (heap_.empty() || heap_.front().when > now) return nullptr;
  Timer* const timer = heap_.front().timer;
  RemoveAt(0);
  Publish();
  return timer;
}

size_t TimerQueue::RunDue(int64_t now) {
  size_t fired = 0;
  while (Earliest() <= now) {
    Timer* const timer = PopDue(now);
    if (timer == nullptr) break;
    timer->fire(timer);
    ++fired;
  }
  return fired;
}

}  // namespace curg::internal
