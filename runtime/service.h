// SPDX-License-Identifier: Apache-2.0
//
// The service worker: a thread of its own for the runtime's own tasks (profile writer, dumps, debug
// server), so that they get on while every other worker is held by an endless loop.
#pragma once

#include <concepts>
#include <string_view>
#include <type_traits>
#include <utility>

#include "runtime/join_handle.h"
#include "runtime/options.h"
#include "runtime/spawn.h"

namespace curg::internal {

// The process's service scheduler, started at first use. Thread-safe.
Scheduler* ServiceScheduler();

// Starts a runtime task: without the caller's tag, unseen in user task profiles. It must not run
// user code and must not hold its worker for long. Throws absl::BadStatusOrAccess when it is
// refused.
// Thread-safe, from tasks and plain threads. Blocks: nothing.
template <std::invocable Fn>
JoinHandle<std::invoke_result_t<std::decay_t<Fn>>> GoService(std::string_view name, Fn&& fn) {
  const TaskOptions options = {.name = name, .tag = TagRef()};
  return Spawn(ServiceScheduler(), options, std::forward<Fn>(fn)).value();
}

}  // namespace curg::internal
