// SPDX-License-Identifier: Apache-2.0
//
// Blocking: calls that block their thread (files, name resolution, a database's client library,
// locks of other libraries) without keeping other tasks from running.
//
//   std::string text = curg::Blocking([&] { return ReadWholeFile(path); });
//
// The function runs where it is, on the task's own stack: labels, task-local variables, name, stack
// and errno are what they were. Only the processor, the right to run tasks, is given up; others can
// take it at once, and a spare worker does so after some tens of microseconds. A call that returns
// sooner costs next to nothing.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "runtime/deadline.h"
#include "runtime/join_handle.h"
#include "runtime/stoppable.h"
#include "runtime/traceback.h"
#include "runtime/wait_status.h"

namespace curg {

namespace internal {

// Gives the current task's processor up, and regains one. `at` is where a dump of the task begins;
// it stays where it is until LeaveBlocking. False: there is
// nothing to give up. Waits first while there are too many calls, within `limits`, if any; `status`
// says how that ended.
bool EnterBlocking(const Registers& at, const WaitLimits* limits, WaitStatus* status);
void LeaveBlocking();

// In the frame that calls what blocks.
class BlockingCall {
 public:
  [[gnu::always_inline]] explicit BlockingCall(const WaitLimits* limits = nullptr)
      : at_(RegistersHere()), entered_(EnterBlocking(at_, limits, &status_)) {}
  BlockingCall(const BlockingCall&) = delete;
  BlockingCall& operator=(const BlockingCall&) = delete;
  ~BlockingCall() {
    if (entered_) LeaveBlocking();
  }

  WaitStatus status() const { return status_; }

 private:
  const Registers at_;
  WaitStatus status_ = WaitStatus::kOk;
  const bool entered_;
};

// A token that is stopped when `stop` is, or at the deadline.
class StopAtLimits {
 public:
  explicit StopAtLimits(const WaitLimits& limits);
  ~StopAtLimits();
  StopAtLimits(const StopAtLimits&) = delete;
  StopAtLimits& operator=(const StopAtLimits&) = delete;

  std::stop_token token() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace internal

// Calls `fn()`, which may block its thread, and returns or throws what it does. While there are
// RuntimeOptions::blocking_max calls, it waits for its turn first.
//
// Inside, the task has its thread for itself, and is to the runtime as a plain thread is: what
// waits (a channel, a mutex, SleepFor) blocks the thread; tasks started or woken go to the other
// workers; Blocking inside Blocking calls `fn`, and so does Blocking inside OnSystemStack or on a
// plain thread. Afterwards the task may be on another thread; errno comes along.
// Blocks: the task.
template <std::invocable Fn>
std::invoke_result_t<Fn> Blocking(Fn&& fn) {
  const internal::BlockingCall call;
  return std::invoke(std::forward<Fn>(fn));
}

// As above, with limits. When `deadline` has passed (kTimeout) or a stop was requested (kCancelled)
// before it is its turn, `fn` is not called. Once it is called, it is waited for, and its result is
// kOk; if it takes a std::stop_token, that tells it that a limit was reached. On whatever thread:
// its callbacks must not block.
template <internal::Stoppable Fn>
Joined<internal::StoppableResult<Fn>> BlockingUntil(Deadline deadline, Fn&& fn,
                                                    const std::stop_token& stop = {}) {
  using Result = internal::StoppableResult<Fn>;
  const internal::WaitLimits limits = {deadline, &stop};
  const internal::BlockingCall call(&limits);
  if (call.status() != WaitStatus::kOk) return {call.status()};
  const auto invoke = [&]() -> Result {
    if constexpr (std::invocable<Fn, std::stop_token>) {
      const internal::StopAtLimits source(limits);
      return std::invoke(std::forward<Fn>(fn), source.token());
    } else {
      return std::invoke(std::forward<Fn>(fn));
    }
  };
  if constexpr (std::is_void_v<Result>) {
    invoke();
    return {WaitStatus::kOk};
  } else if constexpr (std::is_reference_v<Result>) {
    return {WaitStatus::kOk, std::addressof(invoke())};
  } else {
    return {WaitStatus::kOk, invoke()};
  }
}
template <internal::Stoppable Fn>
Joined<internal::StoppableResult<Fn>> Blocking(const std::stop_token& stop, Fn&& fn) {
  return BlockingUntil(Deadline::Never(), std::forward<Fn>(fn), stop);
}

}  // namespace curg
