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

struct Joining {
  Task* task;
  Waiter* waiter;
};

bool RegisterWaiter(void* arg) {
  const Joining joining = *static_cast<Joining*>(arg);
  const auto joiner = reinterpret_cast<uintptr_t>(joining.waiter);
  TaskEnd<>& end = joining.task->end;
  return joining.task == CurrentTask() ? end.JoinBeforeRun(joiner) : end.Join(joiner);
}

[[noreturn]] void ThrowMisuse(std::string_view what) {
  throw std::logic_error(
      absl::StrCat("curg: ", CallerName(), ": ", absl::string_view(what.data(), what.size())));
}

void RequireOther(const Task* task) {
  if (task == CurrentTask()) [[unlikely]]
    ThrowMisuse("joins itself, which would never end");
}

// After a Join that failed.
void RequireEnded(const Task* task) {
  if (!HasEnded(task)) [[unlikely]]
    ThrowMisuse(absl::StrCat("joins task ", task->id, ", which somebody else is joining"));
}

}  // namespace

uint64_t TaskId(const Task* task) { return task->id; }

TaskBody& BodyOf(Task* task) { return task->body; }

bool HasEnded(const Task* task) { return task->end.HasEnded(); }

void AwaitEnd(Task* task) {
  if (HasEnded(task)) return;
  Waiter waiter;
  if (waiter.task() == nullptr || waiter.task() == task) RequireOther(task);
  Joining joining = {.task = task, .waiter = &waiter};
  waiter.WaitIf(WaitReason::kJoin, task, &RegisterWaiter, &joining);
  RequireEnded(task);
}

WaitStatus AwaitEndWithin(Task* task, const WaitLimits& limits) {
  if (HasEnded(task)) return WaitStatus::kOk;
  RequireOther(task);
  LimitedJoin join;
  const uintptr_t self = reinterpret_cast<uintptr_t>(&join) | kLimitedJoin;
  if (!task->end.Join(self)) {
    RequireEnded(task);
    return WaitStatus::kOk;
  }
  const WaitStatus status = WaitClaimed(join.waiter, limits, WaitReason::kJoin, task);
  if (status == WaitStatus::kOk) return status;
  if (task->end.GiveUp(self)) return status;
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
  if (!task->end.Detach()) ReleaseEnded(task);
}

}  // namespace curg::internal
