// SPDX-License-Identifier: Apache-2.0
//
// TaskSlab: where task records come from. Type-stable: memory of a record is never anything else, so
// whoever enumerates tasks walks slabs, and a late look at a freed record reads a record.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "runtime/task.h"

namespace curg::internal {

// The records of the process, shared by all its runtimes.
// Thread-safe.
class TaskSlab {
 public:
  static TaskSlab& Instance();

  // Takes `count` records, linked through next. Throws std::bad_alloc.
  Task* Take(size_t count);
  // Gives back records linked from `first` to `last`.
  void Return(Task* first, Task* last);

  // Calls `visit(task)` for each record ever made, whatever its state.
  // May run in parallel with everything; what it sees may change under it.
  template <typename Visit>
  void ForEach(Visit visit) {
    size_t chunks;
    {
      std::lock_guard lock(lock_);
      chunks = chunks_.size();
    }
    for (size_t i = 0; i < chunks; ++i) {
      Task* chunk;
      {
        std::lock_guard lock(lock_);
        chunk = chunks_[i];
      }
      for (size_t j = 0; j < kChunk; ++j) visit(chunk[j]);
    }
  }

 private:
  static constexpr size_t kChunk = 256;  // about 100 KiB

  std::mutex lock_;
  std::vector<Task*> chunks_;  // guarded by lock_; never shrinks
  Task* free_ = nullptr;       // guarded by lock_
};

// A processor's share of the records. Owner only: the worker that has the processor.
class TaskCache {
 public:
  TaskCache() = default;
  TaskCache(const TaskCache&) = delete;
  TaskCache& operator=(const TaskCache&) = delete;
  ~TaskCache() { Flush(); }

  Task* Take() {
    if (first_ == nullptr) Refill();
    Task* task = first_;
    first_ = task->next;
    --count_;
    return task;
  }

  void Return(Task* task) {
    if (count_ == 2 * kBatch) ReturnHalf();
    task->next = first_;
    first_ = task;
    ++count_;
  }

  // Returns all records.
  void Flush();

 private:
  static constexpr size_t kBatch = 64;

  void Refill();
  void ReturnHalf();

  Task* first_ = nullptr;
  size_t count_ = 0;
};

}  // namespace curg::internal
