// SPDX-License-Identifier: Apache-2.0
#include "runtime/spawn.h"

#include <memory>

#include "runtime/fork_guard.h"
#include "runtime/scheduler.h"
#include "runtime/spawn_stack.h"
#include "runtime/task_extra.h"
#include "runtime/task_locals.h"
#include "runtime/walk_memo.h"
#include "runtime/worker.h"

namespace curg::internal {
namespace {

// The processor's own memory of walks; null where there is no processor.
WalkMemo* SpawnWalks() {
  Worker* const worker = CurrentWorker();
  if (worker == nullptr) return nullptr;
  std::unique_ptr<WalkMemo>& walks = worker->processor->spawn_walks;
  if (walks == nullptr) walks = MakeSpawnWalks();
  return walks.get();
}

// Gives `task` copies of the caller's task-local variables.
void InheritInto(Task* task) {
  try {
    std::unique_ptr<TaskLocals> inherited = InheritTaskLocals();
    if (inherited != nullptr) ExtraOf(*task, nullptr).locals = inherited.release();
  } catch (...) {
    DropNewTask(task);
    throw;
  }
}

}  // namespace

// Never inlined: the return address is the spawn site.
__attribute__((noinline)) absl::StatusOr<Task*> NewTask(Scheduler* scheduler,
                                                        const TaskOptions& options) {
  ThreadState& thread = ThisThread();
  const Task* const spawner = thread.current.load(std::memory_order_relaxed);
  if (scheduler == nullptr) {
    if (spawner == nullptr) {
      if (absl::Status status = CheckNotForked(); !status.ok()) return status;
      return absl::FailedPreconditionError(
          "Go was called outside a runtime; call it from a task, or use Runtime::Go");
    }
    scheduler = spawner->scheduler;
  }
  absl::StatusOr<Task*> task =
      scheduler->NewTask(thread, options, reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
  if (SpawnStacksKept() && task.ok()) [[unlikely]]
    (*task)->spawn_stack = RecordSpawnStack(SpawnWalks());
  const bool may_have_locals = spawner == nullptr || spawner->locals() != nullptr;
  if (may_have_locals && task.ok() && !(*task)->runtime_task) [[unlikely]]
    InheritInto(*task);
  return task;
}

void DropNewTask(Task* task) {
  EndTaskLocals(*task);
  task->scheduler->DropNewTask(task);
}

void StartTask(Task* task) { task->scheduler->Ready(task); }

}  // namespace curg::internal
