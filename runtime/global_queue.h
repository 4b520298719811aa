// SPDX-License-Identifier: Apache-2.0
//
// GlobalQueue: runnable tasks that belong to no processor: spawned or woken by plain threads, and
// what overflowed a processor's ring.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <new>
#include <span>
#include <utility>

#include "runtime/page_allocator.h"
#include "runtime/spin_lock.h"

namespace curg::internal {

// A FIFO of pointers in blocks, not of links through the tasks: to follow those would be one cache
// miss after the other. Without memory for a block, links through T::next are used all the same.
//
// Layout     blocks from first_ to last_, of which only first_ is partly taken and only last_
//            partly filled; then the list from spilled_ to spilled_last_. All that is there is in
//            the order it came.
// Rejected   std::deque: its small blocks go back to malloc, which keeps them for the thread.
// Thread-safe. `kBlock` and `Atomic` are smaller, and a checker's, in tests.
template <typename T, template <typename> typename Allocator = PageAllocator,
          size_t kBlock = 1021,  // 8 KiB with the rest of Block
          template <typename> typename Atomic = std::atomic>
class GlobalQueue {
 public:
  GlobalQueue() = default;
  GlobalQueue(const GlobalQueue&) = delete;
  GlobalQueue& operator=(const GlobalQueue&) = delete;
  ~GlobalQueue() {
    Free(spare_);
    while (first_ != nullptr) Free(std::exchange(first_, first_->next));
  }

  void Push(T* task) { PushAll({&task, 1}); }

  void PushAll(std::span<T* const> tasks) {
    std::lock_guard lock(lock_);
    size_t done = 0;
    while (done < tasks.size() && spilled_ == nullptr && HasRoom()) {
      const size_t count = std::min(tasks.size() - done, kBlock - last_->end);
      std::copy_n(tasks.begin() + done, count, last_->tasks.begin() + last_->end);
      last_->end += count;
      done += count;
    }
    if (done < tasks.size()) [[unlikely]]
      Spill(tasks.subspan(done));
    // seq_cst: with the one in size(), so that a push is seen by whoever goes to sleep after it
    size_.store(size_.load(std::memory_order_relaxed) + tasks.size(), std::memory_order_seq_cst);
  }

  // Takes the first tasks, as many as there are and `out` holds; returns how many.
  size_t PopBatch(std::span<T*> out) {
    if (size() == 0) return 0;
    std::lock_guard lock(lock_);
    size_t taken = 0;
    while (taken < out.size() && first_ != nullptr && first_->begin < first_->end) {
      const size_t count = std::min(out.size() - taken, first_->end - first_->begin);
      std::copy_n(first_->tasks.begin() + first_->begin, count, out.begin() + taken);
      first_->begin += count;
      taken += count;
      if (first_->begin == first_->end) DropFirst();
    }
    for (; taken < out.size() && spilled_ != nullptr; spilled_ = spilled_->next)
      out[taken++] = spilled_;
    size_.store(size_.load(std::memory_order_relaxed) - taken, std::memory_order_seq_cst);
    return taken;
  }

  // A hint, without the lock.
  size_t size() const { return size_.load(std::memory_order_seq_cst); }

 private:
  struct Block {
    Block* next = nullptr;
    size_t begin = 0;
    size_t end = 0;
    std::array<T*, kBlock> tasks;  // not touched before it is used
  };

  // All with lock_ held.

  // Makes last_ have some.
  bool HasRoom() {
    if (last_ != nullptr && last_->end < kBlock) return true;
    Block* block = std::exchange(spare_, nullptr);
    if (block == nullptr) {
      try {
        block = Allocator<Block>().allocate(1);
      } catch (const std::bad_alloc&) {
        return false;
      }
    }
    ::new (block) Block;
    (last_ == nullptr ? first_ : last_->next) = block;
    last_ = block;
    return true;
  }

  // One block beside the others is kept, so that none is asked for again and again; when the queue
  // is empty, only the last of all.
  void DropFirst() {
    if (first_ == last_) {
      first_->begin = first_->end = 0;
      return Free(std::exchange(spare_, nullptr));
    }
    Block* const block = std::exchange(first_, first_->next);
    if (spare_ == nullptr) {
      spare_ = block;
    } else {
      Free(block);
    }
  }

  void Free(Block* block) {
    if (block != nullptr) Allocator<Block>().deallocate(block, 1);
  }

  void Spill(std::span<T* const> tasks) {
    for (T* task : tasks) {
      task->next = nullptr;
      (spilled_ == nullptr ? spilled_ : spilled_last_->next) = task;
      spilled_last_ = task;
    }
  }

  SpinLock lock_;
  // All guarded by lock_.
  Block* first_ = nullptr;
  Block* last_ = nullptr;
  Block* spare_ = nullptr;
  T* spilled_ = nullptr;
  T* spilled_last_ = nullptr;  // if spilled_ is not null
  Atomic<size_t> size_{0};
};

}  // namespace curg::internal
