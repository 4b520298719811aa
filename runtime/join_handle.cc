// SPDX-License-Identifier: Apache-2.0
#include "runtime/join_handle.h"

#include <sched.h>

#include "runtime/park.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"
#include "runtime/worker.h"

namespace curg::internal {
namespace {

// The few instructions between "it ends" and "it has ended" on the task's worker.
uintptr_t AwaitEnding(const Task* task) {
  uintptr_t end;
  // acquire: pairs with the release in Scheduler::FinishTask()
  while ((end = task->end.load(std::memory_order_acquire)) == Task::kEnding) sched_yield();
  return end;
}

struct Joining {
  Task* task;
  Waiter* waiter;
};

bool RegisterJoiner(void* arg) {
  const Joining joining = *static_cast<Joining*>(arg);
  uintptr_t end = 0;
  // acq_rel: release the Waiter to FinishTask(), or acquire the result from it
  if (joining.task->end.compare_exchange_strong(end, reinterpret_cast<uintptr_t>(joining.waiter),
                                                std::memory_order_acq_rel)) {
    return true;
  }
  AwaitEnding(joining.task);
  return false;
}

}  // namespace

uint64_t TaskId(const Task* task) { return task->id; }

TaskBody& BodyOf(Task* task) { return task->body; }

bool HasEnded(const Task* task) {
  // acquire: pairs with the release in Scheduler::FinishTask()
  return task->end.load(std::memory_order_acquire) == Task::kDone;
}

void AwaitEnd(Task* task) {
  if (HasEnded(task)) return;
  Waiter waiter;
  Joining joining = {.task = task, .waiter = &waiter};
  waiter.WaitIf(WaitReason::kJoin, task, &RegisterJoiner, &joining);
  while (!HasEnded(task)) sched_yield();  // the waker is between its claim and kDone
}

void ReleaseEnded(Task* task) {
  task->body.Drop();
  task->state.store(TaskState::kFree, std::memory_order_relaxed);  // relaxed: a hint
  Worker* const worker = CurrentWorker();
  if (worker != nullptr) {
    worker->processor->tasks.Return(task);
  } else {
    TaskSlab::Instance().Return(task, task);
  }
}

void Detach(Task* task) {
  uintptr_t end = 0;
  // release: pairs with the acquires in TaskMain() and CommitEnd()
  if (task->end.compare_exchange_strong(end, Task::kDetached, std::memory_order_acq_rel)) return;
  AwaitEnding(task);
  ReleaseEnded(task);
}

}  // namespace curg::internal
