// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_slab.h"

namespace curg::internal {

TaskSlab& TaskSlab::Instance() {
  static TaskSlab* const slab = new TaskSlab;  // never destroyed: tasks may outlive static objects
  return *slab;
}

Task* TaskSlab::Take(size_t count) {
  std::lock_guard lock(lock_);
  Task* list = nullptr;
  while (count > 0) {
    if (free_ == nullptr) {
      Task* chunk = new Task[kChunk];
      chunks_.push_back(chunk);
      for (size_t i = kChunk; i-- > 0;) {
        chunk[i].next = free_;
        free_ = &chunk[i];
      }
    }
    Task* task = free_;
    free_ = task->next;
    task->next = list;
    list = task;
    --count;
  }
  return list;
}

void TaskSlab::Return(Task* first, Task* last) {
  std::lock_guard lock(lock_);
  last->next = free_;
  free_ = first;
}

void TaskCache::Refill() {
  first_ = TaskSlab::Instance().Take(kBatch);
  count_ = kBatch;
}

void TaskCache::ReturnHalf() {
  Task* const first = first_;
  Task* last = first;
  for (size_t i = 1; i < kBatch; ++i) last = last->next;
  first_ = last->next;
  count_ -= kBatch;
  TaskSlab::Instance().Return(first, last);
}

void TaskCache::Flush() {
  if (first_ == nullptr) return;
  Task* last = first_;
  while (last->next != nullptr) last = last->next;
  TaskSlab::Instance().Return(first_, last);
  first_ = nullptr;
  count_ = 0;
}

}  // namespace curg::internal
