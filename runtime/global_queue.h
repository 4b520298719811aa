// SPDX-License-Identifier: Apache-2.0
//
// GlobalQueue: runnable tasks that belong to no processor: spawned or woken by plain threads, and what
// overflowed a processor's ring.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>

#include "runtime/spin_lock.h"

namespace curg::internal {

// An intrusive FIFO through T::next. Thread-safe.
template <typename T>
class GlobalQueue {
 public:
  void Push(T* task) {
    task->next = nullptr;
    PushList(task, task, 1);
  }

  // Appends `count` tasks linked from `first` to `last`.
  void PushList(T* first, T* last, size_t count) {
    std::lock_guard lock(lock_);
    (last_ == nullptr ? first_ : last_->next) = first;
    last_ = last;
    // seq_cst: with the one in size(), so that a push is seen by whoever goes to sleep after it
    size_.store(size_.load(std::memory_order_relaxed) + count, std::memory_order_seq_cst);
  }

  // Takes the first `count` tasks, or all there are, as a list through next; null when empty.
  T* PopBatch(size_t count) {
    if (size() == 0) return nullptr;
    std::lock_guard lock(lock_);
    T* const batch = first_;
    T* last = nullptr;
    size_t taken = 0;
    for (; first_ != nullptr && taken < count; ++taken) {
      last = first_;
      first_ = first_->next;
    }
    if (last != nullptr) last->next = nullptr;
    if (first_ == nullptr) last_ = nullptr;
    size_.store(size_.load(std::memory_order_relaxed) - taken, std::memory_order_seq_cst);
    return batch;
  }

  // A hint, without the lock.
  size_t size() const { return size_.load(std::memory_order_seq_cst); }

 private:
  SpinLock lock_;
  T* first_ = nullptr;  // guarded by lock_
  T* last_ = nullptr;   // guarded by lock_
  std::atomic<size_t> size_{0};
};

}  // namespace curg::internal
