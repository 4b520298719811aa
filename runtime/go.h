// SPDX-License-Identifier: Apache-2.0
//
// The everyday API: run a program on the runtime, start tasks, wait for them. Start here.
//
//   #include "runtime/go.h"
//
//   int main() {
//     return curg::Run([] {
//       curg::JoinHandle<int> answer = curg::Go([] { return 42; });
//       return answer.Join() == 42 ? 0 : 1;
//     });
//   }
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/deadline.h"
#include "runtime/join_handle.h"
#include "runtime/options.h"
#include "runtime/runtime.h"
#include "runtime/spawn.h"

namespace curg {

// Makes a runtime, runs `fn` on it as a task, waits for it, and returns its value or rethrows its
// exception; tasks that are still alive then are abandoned with the runtime (their stacks are not
// unwound). Throws absl::BadStatusOrAccess when the options are refused; TryRun says why instead.
// Call it from a plain thread. Blocks: the thread.
template <std::invocable Fn>
std::invoke_result_t<Fn> Run(const RuntimeOptions& options, Fn&& fn) {
  return Runtime::Create(options).value()->Run(std::forward<Fn>(fn));
}
template <std::invocable Fn>
std::invoke_result_t<Fn> Run(Fn&& fn) {
  return Run(RuntimeOptions{}, std::forward<Fn>(fn));
}

// Starts a task that calls `fn()`, on the runtime of the calling task. The handle gives its value
// or rethrows its exception; dropping the handle detaches the task. The task inherits the caller's
// tag (labels) unless the options say otherwise. Throws absl::BadStatusOrAccess when the task is
// refused (see TryGo). Blocks: nothing.
template <std::invocable Fn>
[[gnu::always_inline]] inline JoinHandle<std::invoke_result_t<std::decay_t<Fn>>> Go(
    const TaskOptions& options, Fn&& fn) {
  return TryGo(options, std::forward<Fn>(fn)).value();
}
template <std::invocable Fn>
[[gnu::always_inline]] inline JoinHandle<std::invoke_result_t<std::decay_t<Fn>>> Go(Fn&& fn) {
  return TryGo(TaskOptions{}, std::forward<Fn>(fn)).value();
}

// Lets other runnable tasks go first. On a plain thread: yields the thread. Blocks: the task,
// briefly.
void Yield();

// Waits for at least this long. Blocks: the task (a plain thread sleeps).
void SleepFor(std::chrono::nanoseconds duration);
void SleepUntil(Deadline deadline);

// As above, but only until a stop is requested. True: it slept for the whole time.
bool SleepFor(std::chrono::nanoseconds duration, const std::stop_token& stop);
bool SleepUntil(Deadline deadline, const std::stop_token& stop);

// The current task's id, from 1 in each process and never reused; 0 on a plain thread.
// Async-signal-safe.
uint64_t CurrentTaskId();

// The current task's name as given at its start; empty when it has none. Valid while the task
// lives.
std::string_view CurrentTaskName();

}  // namespace curg
