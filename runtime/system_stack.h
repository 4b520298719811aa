// SPDX-License-Identifier: Apache-2.0
//
// OnSystemStack: for code that needs a thread's stack (megabytes) rather than a task's: deep
// recursion in C libraries, large frames, alloca.
//
//   curg::OnSystemStack([&] { return dwarf_getsrclines(...); });
#pragma once

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include "runtime/task_body.h"

namespace curg {

namespace internal {

// Runs the callable of `body`, in which it leaves its value or exception.
void RunOnSystemStack(TaskBody& body);

}  // namespace internal

// Calls `fn()` on the system stack of the worker that the task is on, and returns or throws what it
// does. The stack changes and nothing else: the current task is what it was, with its labels and
// its name, and a profile shows both stacks, one on top of the other. It costs two switches.
// The task cannot be suspended inside: what would wait there (a channel, a mutex, SleepFor) aborts,
// and names the task; Yield does nothing. For what blocks the thread call it inside Blocking, where
// everything may wait; Blocking inside OnSystemStack only calls its function. OnSystemStack inside
// itself or on a plain thread calls `fn`.
// Blocks: what `fn` does, with the worker.
template <std::invocable Fn>
std::invoke_result_t<Fn> OnSystemStack(Fn&& fn) {
  using Result = std::invoke_result_t<Fn>;
  internal::TaskBody body;
  internal::EmplaceCallable(body, [&fn]() -> Result { return std::invoke(std::forward<Fn>(fn)); });
  internal::RunOnSystemStack(body);
  return internal::TakeResult<Result>(body);
}

}  // namespace curg
