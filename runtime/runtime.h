// SPDX-License-Identifier: Apache-2.0
//
// Runtime: workers and the tasks they run. Most programs only call Run (go.h); make a Runtime to
// keep one inside a library, to start tasks from plain threads, or to have several.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/deadline.h"
#include "runtime/join_handle.h"
#include "runtime/options.h"
#include "runtime/spawn.h"
#include "runtime/stats.h"
#include "runtime/stoppable.h"

namespace curg {

class Runtime;

namespace internal {
class Sysmon;
struct ReportOptions;
Scheduler* SchedulerOf(Runtime& runtime);
}  // namespace internal

// What a shutdown left behind.
struct ShutdownReport {
  uint64_t abandoned = 0;  // tasks that had not ended, delayed ones included
  int workers_held = 0;    // of these, tasks that did not give their workers back
};

class Runtime {
 public:
  // Starts the workers. INVALID_ARGUMENT: an option or CURG_WORKERS is out of range, and which;
  // RESOURCE_EXHAUSTED: the system refuses threads.
  static absl::StatusOr<std::unique_ptr<Runtime>> Create(const RuntimeOptions& options = {});

  // Ends the workers at their next switch. Tasks that are still alive are abandoned: they never run
  // again and their stacks are not unwound; join what must finish. A worker whose task does not
  // come back within 100 ms is left behind with the runtime's memory, and that is reported on
  // standard error. Not from one of its own tasks. Blocks: the plain thread.
  ~Runtime();

  // Ends the runtime in good order. Tasks may go on until all have ended, or until `deadline`; then
  // they are asked to stop, through stop_token(), and have `grace` more. What is alive then is
  // abandoned, as by the destructor, and told on standard error: which tasks, and what they wait
  // for.
  //   Shutdown()                              waits
  //   Shutdown(Deadline::After(10s), 5s)      waits, then cancels
  //   Shutdown(Deadline::After(0s), 5s)       cancels
  //   Shutdown(Deadline::After(0s), 0s)       abandons
  // Afterwards TryGo is FAILED_PRECONDITION; who still joins an abandoned task waits for ever.
  // Not from one of its own tasks; once. Blocks: the plain thread.
  ShutdownReport Shutdown(Deadline deadline = Deadline::Never(),
                          std::chrono::nanoseconds grace = std::chrono::seconds(1));

  // A stop is requested of it by Shutdown. Thread-safe.
  std::stop_token stop_token() const;

  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Runs `fn` as a task and waits for it; returns its value or rethrows its exception.
  // Thread-safe; from plain threads. Blocks: the thread.
  template <std::invocable Fn>
  std::invoke_result_t<std::decay_t<Fn>> Run(Fn&& fn) {
    return Go({.name = "main"}, std::forward<Fn>(fn)).Join();
  }

  // As Run, but waits only until `deadline` (kTimeout) or until a stop is requested (kCancelled).
  // If `fn` takes a std::stop_token, that asks it to stop then. It runs on by itself in any case,
  // until it returns or the runtime ends; its value or exception is destroyed unseen.
  template <internal::Stoppable Fn>
  Joined<internal::StoppableResult<Fn>> RunUntil(Deadline deadline, Fn&& fn,
                                                 const std::stop_token& stop = {}) {
    std::stop_source source;
    auto call = [fn = std::forward<Fn>(fn),
                 token = source.get_token()]() mutable -> internal::StoppableResult<Fn> {
      return internal::InvokeStoppable(std::move(fn), token);
    };
    auto task = Go({.name = "main"}, std::move(call));
    auto joined = task.JoinUntil(deadline, stop);
    if (!joined) source.request_stop();
    return joined;
  }

  // As curg::Go and curg::TryGo, on this runtime, from any thread or task. A plain thread's tag is
  // inherited as a task's is. Thread-safe. Blocks: nothing.
  template <std::invocable Fn>
  [[gnu::always_inline]] JoinHandle<std::invoke_result_t<std::decay_t<Fn>>> Go(
      const TaskOptions& options, Fn&& fn) {
    return TryGo(options, std::forward<Fn>(fn)).value();
  }
  template <std::invocable Fn>
  [[gnu::always_inline]] JoinHandle<std::invoke_result_t<std::decay_t<Fn>>> Go(Fn&& fn) {
    return Go(TaskOptions{}, std::forward<Fn>(fn));
  }
  template <std::invocable Fn>
  [[gnu::always_inline]] absl::StatusOr<JoinHandle<std::invoke_result_t<std::decay_t<Fn>>>> TryGo(
      const TaskOptions& options, Fn&& fn) {
    return internal::Spawn(scheduler_.get(), options, std::forward<Fn>(fn));
  }

  // What it is doing, in numbers. Thread-safe. Blocks: nothing.
  RuntimeStats Stats() const;

  // How many workers are to run: as configured, or as the CPUs are now (RuntimeOptions::workers).
  int workers() const;

 private:
  friend internal::Scheduler* internal::SchedulerOf(Runtime& runtime);

  Runtime(std::shared_ptr<internal::Scheduler> scheduler, const internal::ReportOptions& reports);

  void CheckCaller() const;
  bool WaitForTasks(Deadline deadline) const;
  int End();

  std::shared_ptr<internal::Scheduler> scheduler_;
  std::unique_ptr<internal::Sysmon> sysmon_;
  bool report_abandoned_ = false;
  bool ended_ = false;
};

// The stop_token of the runtime that the calling task runs on; on a plain thread, one that is never
// stopped.
std::stop_token RuntimeStopToken();

}  // namespace curg
