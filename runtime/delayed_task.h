// SPDX-License-Identifier: Apache-2.0
//
// GoAfter: a task that starts later, unless it is cancelled (Go's time.AfterFunc).
//
//   curg::DelayedTask expiry = curg::GoAfter(30s, [&] { session.Expire(); });
//   ...
//   expiry.Reset(30s);  // there was traffic
//   expiry.Cancel();    // never mind
#pragma once

#include <chrono>
#include <concepts>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/deadline.h"
#include "runtime/options.h"
#include "runtime/runtime.h"
#include "runtime/spawn.h"
#include "runtime/task_body.h"

namespace curg {

namespace internal {

class DelayedStart;

struct AbandonDelayedStart {
  void operator()(DelayedStart* start) const;
};
using DelayedStartPtr = std::unique_ptr<DelayedStart, AbandonDelayedStart>;

// Makes `task`, which is not yet runnable, so at `when`. Owns it from now on.
DelayedStartPtr StartTaskAt(Task* task, Deadline when);

}  // namespace internal

// Whether a task that is to start later still will. Dropping it changes nothing: the task starts
// when it is time. Everything but dropping it must happen while the runtime is there.
// Thread-safe, but for moves. From tasks and plain threads. Blocks: nothing.
class [[nodiscard]] DelayedTask {
 public:
  DelayedTask() = default;
  explicit DelayedTask(internal::DelayedStartPtr start)
      : start_(std::move(start)) {}  // the runtime's
  DelayedTask(DelayedTask&&) noexcept = default;
  DelayedTask& operator=(DelayedTask&&) noexcept = default;

  // Drops the task: it never runs, and its callable is destroyed here. False: it has been started,
  // or was cancelled before.
  bool Cancel();

  // Lets it start at another time instead, sooner or later. False: as for Cancel, and without
  // effect.
  bool Reset(std::chrono::nanoseconds delay) { return ResetAt(Deadline::After(delay)); }
  bool ResetAt(Deadline when);

  // Whether it is still to start. Out of date at once.
  bool pending() const;

 private:
  internal::DelayedStartPtr start_;
};

// Starts a task that calls `fn()` after at least `delay`; what it returns or throws is destroyed
// unseen. The task is made now: it inherits the caller's tag and task-local variables as they are
// now, its stack counts against the limits, and what can be refused is refused now. Options,
// runtimes and errors are as for curg::Go.
template <std::invocable Fn>
DelayedTask GoAfter(std::chrono::nanoseconds delay, const TaskOptions& options, Fn&& fn);
template <std::invocable Fn>
DelayedTask GoAfter(std::chrono::nanoseconds delay, Fn&& fn) {
  return GoAfter(delay, TaskOptions{}, std::forward<Fn>(fn));
}
// On any runtime; also from plain threads.
template <std::invocable Fn>
DelayedTask GoAfter(Runtime& runtime, std::chrono::nanoseconds delay, const TaskOptions& options,
                    Fn&& fn);

namespace internal {

template <typename Fn>
DelayedTask SpawnAfter(Scheduler* scheduler, std::chrono::nanoseconds delay,
                       const TaskOptions& options, Fn&& fn) {
  const Deadline when = Deadline::After(delay);
  Task* const task = NewTask(scheduler, options).value();
  try {
    EmplaceCallable(BodyOf(task), std::forward<Fn>(fn));
    return DelayedTask(StartTaskAt(task, when));
  } catch (...) {  // the callable's copy, or memory
    BodyOf(task).Drop();
    DropNewTask(task);
    throw;
  }
}

}  // namespace internal

template <std::invocable Fn>
DelayedTask GoAfter(std::chrono::nanoseconds delay, const TaskOptions& options, Fn&& fn) {
  return internal::SpawnAfter(nullptr, delay, options, std::forward<Fn>(fn));
}

template <std::invocable Fn>
DelayedTask GoAfter(Runtime& runtime, std::chrono::nanoseconds delay, const TaskOptions& options,
                    Fn&& fn) {
  return internal::SpawnAfter(internal::SchedulerOf(runtime), delay, options, std::forward<Fn>(fn));
}

}  // namespace curg
