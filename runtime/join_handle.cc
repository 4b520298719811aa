// SPDX-License-Identifier: Apache-2.0
#include "runtime/join_handle.h"

#include <sched.h>

#include <stdexcept>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "runtime/caller.h"
#include "runtime/joiner.h"
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

// Makes `joiner` the one to wake. False: the task has ended, or somebody else joins it.
bool Register(Task* task, uintptr_t joiner) {
  uintptr_t end = 0;
  // acq_rel: release the joiner to FinishTask(), or acquire the result from it
  if (task->end.compare_exchange_strong(end, joiner, std::memory_order_acq_rel)) return true;
  AwaitEnding(task);
  return false;
}

struct Joining {
  Task* task;
  Waiter* waiter;
};

bool RegisterWaiter(void* arg) {
  const Joining joining = *static_cast<Joining*>(arg);
  return Register(joining.task, reinterpret_cast<uintptr_t>(joining.waiter));
}

[[noreturn]] void ThrowMisuse(std::string_view what) {
  throw std::logic_error(
      absl::StrCat("curg: ", CallerName(), ": ", absl::string_view(what.data(), what.size())));
}

void RequireOther(const Task* task) {
  if (task == CurrentTask()) [[unlikely]]
    ThrowMisuse("joins itself, which would never end");
}

// After a Register that failed.
void RequireEnded(const Task* task) {
  if (!HasEnded(task)) [[unlikely]]
    ThrowMisuse(absl::StrCat("joins task ", task->id, ", which somebody else is joining"));
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
  RequireOther(task);
  Waiter waiter;
  Joining joining = {.task = task, .waiter = &waiter};
  waiter.WaitIf(WaitReason::kJoin, task, &RegisterWaiter, &joining);
  RequireEnded(task);
}

WaitStatus AwaitEndWithin(Task* task, const WaitLimits& limits) {
  if (HasEnded(task)) return WaitStatus::kOk;
  RequireOther(task);
  LimitedJoin join;
  uintptr_t self = reinterpret_cast<uintptr_t>(&join) | kLimitedJoin;
  if (!Register(task, self)) {
    RequireEnded(task);
    return WaitStatus::kOk;
  }
  const WaitStatus status = WaitClaimed(join.waiter, limits, WaitReason::kJoin, task);
  if (status == WaitStatus::kOk) return status;
  // relaxed: nobody reads what we wrote
  if (task->end.compare_exchange_strong(self, 0, std::memory_order_relaxed)) return status;
  // It ends just now, and its worker has seen us: a few instructions.
  // acquire: pairs with the release in WakeLimitedJoin()
  while (!join.released.load(std::memory_order_acquire)) sched_yield();
  return WaitStatus::kOk;
}

void ThrowNotJoinable() {
  ThrowMisuse("uses a JoinHandle without a task: it was joined, detached or moved from");
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
