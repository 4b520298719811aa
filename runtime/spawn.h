// SPDX-License-Identifier: Apache-2.0
//
// TryGo: starts a task, or says why not. The everyday form, Go, is in go.h.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/join_handle.h"
#include "runtime/options.h"
#include "runtime/task_body.h"

namespace curg {

namespace internal {

class Scheduler;

// Makes a task on `scheduler` (null: the calling task's), not yet runnable, with an empty body.
absl::StatusOr<Task*> NewTask(Scheduler* scheduler, const TaskOptions& options);
void DropNewTask(Task* task);
void StartTask(Task* task);

// Inlined, as all the forms of Go are: then NewTask returns to the user's function, the spawn site.
template <typename Fn>
[[gnu::always_inline]] inline absl::StatusOr<JoinHandle<std::invoke_result_t<std::decay_t<Fn>>>>
Spawn(Scheduler* scheduler, const TaskOptions& options, Fn&& fn) {
  absl::StatusOr<Task*> task = NewTask(scheduler, options);
  if (!task.ok()) return task.status();
  try {
    EmplaceCallable(BodyOf(*task), std::forward<Fn>(fn));
  } catch (...) {  // the callable's copy or its memory
    DropNewTask(*task);
    throw;
  }
  StartTask(*task);
  return JoinHandle<std::invoke_result_t<std::decay_t<Fn>>>(*task);
}

}  // namespace internal

// Starts a task that calls `fn()`; see Go in go.h. Errors: RESOURCE_EXHAUSTED (no stack: the limit
// or the address space is used up), INVALID_ARGUMENT (stack size), FAILED_PRECONDITION (called
// outside a runtime: a plain thread uses Runtime::TryGo). What copying `fn` throws is thrown.
template <std::invocable Fn>
[[gnu::always_inline]] inline absl::StatusOr<JoinHandle<std::invoke_result_t<std::decay_t<Fn>>>>
TryGo(const TaskOptions& options, Fn&& fn) {
  return internal::Spawn(nullptr, options, std::forward<Fn>(fn));
}

}  // namespace curg
