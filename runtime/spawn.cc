// SPDX-License-Identifier: Apache-2.0
#include "runtime/spawn.h"

#include "runtime/scheduler.h"
#include "runtime/worker.h"

namespace curg::internal {

// Never inlined: the return address is the spawn site.
__attribute__((noinline)) absl::StatusOr<Task*> NewTask(Scheduler* scheduler,
                                                        const TaskOptions& options) {
  if (scheduler == nullptr) {
    const Task* const spawner = CurrentTask();
    if (spawner == nullptr) {
      return absl::FailedPreconditionError(
          "Go was called outside a runtime; call it from a task, or use Runtime::Go");
    }
    scheduler = spawner->scheduler;
  }
  return scheduler->NewTask(options, reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
}

void DropNewTask(Task* task) { task->scheduler->DropNewTask(task); }

void StartTask(Task* task) { task->scheduler->Ready(task); }

}  // namespace curg::internal
