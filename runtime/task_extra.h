// SPDX-License-Identifier: Apache-2.0
//
// The making and the end of a task's extra part, which lies in a second record.
#pragma once

#include <atomic>
#include <memory>
#include <new>

#include "runtime/task.h"
#include "runtime/task_slab.h"

namespace curg::internal {

// Both: owner only, as the task. `cache` is that of the caller's processor, if it has one.

// The extra part of `task`, made if there is none. Throws std::bad_alloc.
inline TaskExtra& ExtraOf(Task& task, TaskCache* cache) {
  if (TaskExtra* const extra = task.extra()) return *extra;
  Task* const annex = cache != nullptr ? cache->Take() : TaskSlab::Instance().Take(1);
  auto* const extra = ::new (annex->body.storage) TaskExtra;
  task.annex.store(annex, std::memory_order_release);  // release: pairs with Task::extra(), which
                                                       // a handler may call
  return *extra;
}

// Requires: no task-local variables any more.
inline void DropExtra(Task& task, TaskCache* cache) {
  TaskExtra* const extra = task.extra();
  if (extra == nullptr) return;
  Task* const annex = task.annex.load(std::memory_order_relaxed);
  task.annex.store(nullptr, std::memory_order_relaxed);  // relaxed: who looks late reads nonsense
  std::destroy_at(extra);
  if (cache != nullptr) {
    cache->Return(annex);
  } else {
    TaskSlab::Instance().Return(annex, annex);
  }
}

}  // namespace curg::internal
