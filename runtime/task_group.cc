// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_group.h"

#include <mutex>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/caller.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"
#include "runtime/task_locals.h"
#include "runtime/thread_state.h"

namespace curg {
namespace {

[[noreturn]] void ThrowMisuse(const char* what) {
  throw std::logic_error(absl::StrCat("curg: ", internal::CallerName(), ": ", what));
}

internal::Scheduler* CallersScheduler() {
  internal::Task* const task = internal::CurrentTask();
  if (task == nullptr) {
    ThrowMisuse("makes a TaskGroup outside a runtime; say which: TaskGroup(runtime)");
  }
  return task->scheduler;
}

std::string WhatOf(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "something that is no std::exception";
  }
}

}  // namespace

TaskGroup::TaskGroup(internal::Scheduler* scheduler, std::stop_token parent)
    : scheduler_(scheduler), uncaught_(std::uncaught_exceptions()), token_(source_.get_token()) {
  if (parent.stop_possible()) on_parent_.emplace(std::move(parent), CancelGroup{this});
}

TaskGroup::TaskGroup(std::stop_token parent) : TaskGroup(CallersScheduler(), std::move(parent)) {}

TaskGroup::TaskGroup(Runtime& runtime, std::stop_token parent)
    : TaskGroup(internal::SchedulerOf(runtime), std::move(parent)) {}

TaskGroup::~TaskGroup() {
  const bool unwinding = std::uncaught_exceptions() > uncaught_;
  if (unwinding) Cancel();
  (void)AwaitChildren({});
  if (exception_ == nullptr || unwinding) return;
  internal::FatalMisuse(absl::StrCat("ends a TaskGroup without Wait although ", failed_,
                                     " has thrown: ", WhatOf(exception_))
                            .c_str());
}

void TaskGroup::AddChild() {
  {
    std::lock_guard lock(lock_);
    if (!ended_) {
      ++running_;
      return;
    }
  }
  ThrowMisuse("starts a task in a TaskGroup that has ended");
}

void TaskGroup::DropChild() {
  internal::ClaimWaiter* waiter = nullptr;
  {
    std::lock_guard lock(lock_);
    if (--running_ == 0 && waiter_ != nullptr && waiter_->TryClaim()) waiter = waiter_;
  }
  if (waiter != nullptr) waiter->Wake();
}

void TaskGroup::BeginChild() { internal::CurrentTask()->group = this; }

void TaskGroup::EndChild() {
  internal::EndTaskLocals(*internal::CurrentTask());
  internal::CurrentTask()->group = nullptr;
  DropChild();
}

void TaskGroup::Fail(std::exception_ptr exception) {
  std::string name = internal::CallerName();
  {
    std::lock_guard lock(lock_);
    if (exception_ == nullptr) {
      exception_ = std::move(exception);
      failed_ = std::move(name);
    }
  }
  Cancel();
}

size_t TaskGroup::size() const {
  std::lock_guard lock(lock_);
  return running_;
}

WaitStatus TaskGroup::AwaitChildren(const internal::WaitLimits& limits) {
  std::unique_lock lock(lock_);
  while (running_ > 0) {
    if (waiter_ != nullptr) {
      lock.unlock();
      ThrowMisuse("waits for a TaskGroup that somebody else is waiting for");
    }
    internal::ClaimWaiter waiter;
    waiter_ = &waiter;
    lock.unlock();
    const WaitStatus status =
        internal::WaitClaimed(waiter, limits, internal::WaitReason::kTaskGroupWait, this);
    lock.lock();
    waiter_ = nullptr;
    if (status != WaitStatus::kOk && running_ > 0) return status;
  }
  ended_ = true;
  return WaitStatus::kOk;
}

WaitStatus TaskGroup::WaitWithin(const internal::WaitLimits& limits) {
  const internal::Task* const task = internal::CurrentTask();
  if (task != nullptr && task->group == this) {
    ThrowMisuse("waits for a TaskGroup that it is a child of, which would never end");
  }
  const WaitStatus status = AwaitChildren(limits);
  if (status != WaitStatus::kOk || exception_ == nullptr) return status;
  // All children have ended, and there will be no more: no lock needed.
  std::rethrow_exception(std::exchange(exception_, nullptr));
}

}  // namespace curg
