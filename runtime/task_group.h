// SPDX-License-Identifier: Apache-2.0
//
// TaskGroup: tasks that all end before a scope does.
//
//   curg::TaskGroup group;
//   for (const Shard& shard : shards) {
//     group.Go([&](std::stop_token stop) { Search(shard, stop); });
//   }
//   group.Wait();  // rethrows what the first child threw; the others were asked to stop then
//
// Invariant  running_ counts the children whose callable is not destroyed yet. Whoever brings it to
//            zero claims the waiter under lock_, which the waiter takes before it leaves; so the
//            unlock is the last access of a child to the group, and the waiter is there until
//            woken.
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/claim_waiter.h"
#include "runtime/deadline.h"
#include "runtime/options.h"
#include "runtime/runtime.h"
#include "runtime/spawn.h"
#include "runtime/spin_lock.h"
#include "runtime/stoppable.h"
#include "runtime/wait_limits.h"
#include "runtime/wait_status.h"

namespace curg {

// The children run in parallel, on the group's runtime, and may themselves call Go on the group, or
// make groups of their own (pass them the stop token as parent). A child's callable, with all that
// it captured, and its task-local variables are destroyed before the group counts it as ended.
//
// A group ends when Wait has returned kOk, returned, or thrown; then Go is an error.
// It must end before its runtime does.
// Thread-safe but for Wait and the destructor: one at a time. From tasks and plain threads.
class TaskGroup {
 public:
  // For the calling task's runtime. A stop requested of `parent` cancels the group.
  // Throws std::logic_error, naming the caller, on a plain thread.
  explicit TaskGroup(std::stop_token parent = {});
  // For any runtime, also from plain threads.
  explicit TaskGroup(Runtime& runtime, std::stop_token parent = {});

  // Waits for all children. If the scope is left by an exception, cancels them first, and what they
  // throw is destroyed unseen. Otherwise, if a child has thrown and nobody called Wait, says so on
  // standard error, naming both, and aborts: an error must not vanish. Call Wait.
  // Blocks: the task or the plain thread.
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts a child that calls fn(std::stop_token), if it can be called so, or else fn(). What it
  // returns is destroyed; what it throws cancels the group, and the first such exception is kept
  // for Wait. Options and inheritance are as for curg::Go. Throws absl::BadStatusOrAccess when the
  // task is refused, std::logic_error, naming the caller, when the group has ended.
  // Blocks: nothing.
  template <internal::Stoppable Fn>
  void Go(const TaskOptions& options, Fn&& fn) {
    if (absl::Status status = TryGo(options, std::forward<Fn>(fn)); !status.ok()) {
      throw absl::BadStatusOrAccess(std::move(status));
    }
  }
  template <internal::Stoppable Fn>
  void Go(Fn&& fn) {
    Go(TaskOptions{}, std::forward<Fn>(fn));
  }

  // As Go, but says why a task is refused (see curg::TryGo).
  template <internal::Stoppable Fn>
  absl::Status TryGo(const TaskOptions& options, Fn&& fn);

  // Waits until all children have ended, and rethrows the first exception among theirs, once. It
  // does not end earlier for an exception: the siblings are asked to stop, and waited for. Throws
  // std::logic_error, naming the caller, in a child of the group, or while another waits.
  // Blocks: the task or the plain thread.
  void Wait() { (void)WaitWithin({}); }

  // As Wait, but gives up at `deadline` (kTimeout) or when a stop is requested (kCancelled); the
  // children run on, and the group has not ended: Cancel it, or wait again.
  WaitStatus WaitUntil(Deadline deadline, const std::stop_token& stop = {}) {
    return WaitWithin({deadline, &stop});
  }
  WaitStatus WaitFor(std::chrono::nanoseconds duration, const std::stop_token& stop = {}) {
    return WaitUntil(Deadline::After(duration), stop);
  }
  WaitStatus Wait(const std::stop_token& stop) { return WaitUntil(Deadline::Never(), stop); }

  // Asks the children to stop, those that are still to come included.
  void Cancel() { source_.request_stop(); }
  // What the children are given. It is stopped when the group is cancelled, whoever did it.
  const std::stop_token& stop_token() const { return token_; }

  // Children that have not ended. Out of date when others use the group.
  size_t size() const;

 private:
  struct CancelGroup {
    void operator()() const { group->Cancel(); }
    TaskGroup* group;
  };

  TaskGroup(internal::Scheduler* scheduler, std::stop_token parent);

  void AddChild();
  void DropChild();
  void Fail(std::exception_ptr exception);
  WaitStatus WaitWithin(const internal::WaitLimits& limits);
  WaitStatus AwaitChildren(const internal::WaitLimits& limits);

  // On the child's task, around its callable.
  void BeginChild();
  void EndChild();

  internal::Scheduler* const scheduler_;
  const int uncaught_;  // exceptions in flight when the group was made
  std::stop_source source_;
  const std::stop_token token_;
  std::optional<std::stop_callback<CancelGroup>> on_parent_;

  mutable internal::SpinLock lock_;
  // All guarded by lock_.
  size_t running_ = 0;
  bool ended_ = false;
  internal::ClaimWaiter* waiter_ = nullptr;
  std::exception_ptr exception_;
  std::string failed_;  // the task that threw it
};

template <internal::Stoppable Fn>
absl::Status TaskGroup::TryGo(const TaskOptions& options, Fn&& fn) {
  using Callable = std::decay_t<Fn>;
  AddChild();
  try {
    std::optional<Callable> callable(std::in_place, std::forward<Fn>(fn));
    auto child = internal::Spawn(scheduler_, options, [this, fn = std::move(callable)]() mutable {
      BeginChild();
      try {
        (void)internal::InvokeStoppable(std::move(*fn), token_);
      } catch (...) {
        Fail(std::current_exception());
      }
      fn.reset();
      EndChild();  // the last touch of the group
    });
    if (!child.ok()) {
      DropChild();
      return child.status();
    }
    child->Detach();
    return absl::OkStatus();
  } catch (...) {  // the callable's copy, or its memory
    DropChild();
    throw;
  }
}

}  // namespace curg
