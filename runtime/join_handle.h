// SPDX-License-Identifier: Apache-2.0
//
// JoinHandle: the one claim on a task's value.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "runtime/deadline.h"
#include "runtime/task_body.h"
#include "runtime/wait_limits.h"
#include "runtime/wait_status.h"

namespace curg {

namespace internal {

class Task;

// What JoinHandle needs of a task, without its definition. All but TaskId: once, by the handle.
uint64_t TaskId(const Task* task);
TaskBody& BodyOf(Task* task);
bool HasEnded(const Task* task);
void AwaitEnd(Task* task);  // Blocks: the task, or the plain thread
WaitStatus AwaitEndWithin(Task* task, const WaitLimits& limits);  // as AwaitEnd
void ReleaseEnded(Task* task);                                    // the record is free afterwards
void Detach(Task* task);
[[noreturn]] void ThrowNotJoinable();

}  // namespace internal

// What a join that may give up came back with: a value exactly when `status` is kOk.
template <typename T>
struct Joined {
  WaitStatus status = WaitStatus::kWouldBlock;
  std::optional<T> value = {};

  explicit operator bool() const { return status == WaitStatus::kOk; }
  T& operator*() { return *value; }
  T* operator->() { return &*value; }
};
template <typename T>
struct Joined<T&> {
  WaitStatus status = WaitStatus::kWouldBlock;
  T* value = nullptr;

  explicit operator bool() const { return status == WaitStatus::kOk; }
  T& operator*() { return *value; }
  T* operator->() { return value; }
};
template <>
struct Joined<void> {
  WaitStatus status = WaitStatus::kWouldBlock;

  explicit operator bool() const { return status == WaitStatus::kOk; }
};

// Move-only. Dropping it detaches the task, which then runs on by itself; its value or exception is
// destroyed unseen.
// Whoever joins or asks through a handle without a task (joined, detached, moved from), joins
// itself, or joins while another does, gets std::logic_error, which names the caller and the task.
// Thread-compatible: one thread or task at a time.
template <typename T>
class [[nodiscard]] JoinHandle {
 public:
  JoinHandle() = default;
  explicit JoinHandle(internal::Task* task) : task_(task) {}  // the runtime's
  JoinHandle(JoinHandle&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  JoinHandle& operator=(JoinHandle&& other) noexcept {
    std::swap(task_, other.task_);
    return *this;
  }
  ~JoinHandle() { Detach(); }

  // Waits for the task to end, and returns its value or rethrows its exception. Once.
  // Works from tasks and from plain threads. Blocks: the task (a plain thread sleeps).
  // Requires: joinable().
  T Join() {
    RequireTask();
    internal::AwaitEnd(task_);
    return Take();
  }

  // As Join, but gives up at `deadline` (kTimeout) or when a stop is requested (kCancelled). The
  // task runs on then, and the handle is joinable still. A task that has ended is joined in any
  // case.
  Joined<T> JoinUntil(Deadline deadline, const std::stop_token& stop = {}) {
    RequireTask();
    const WaitStatus status = internal::AwaitEndWithin(task_, {deadline, &stop});
    if (status != WaitStatus::kOk) return {status};
    if constexpr (std::is_void_v<T>) {
      Take();
      return {status};
    } else if constexpr (std::is_reference_v<T>) {
      return {status, std::addressof(Take())};
    } else {
      return {status, Take()};
    }
  }
  Joined<T> JoinFor(std::chrono::nanoseconds duration, const std::stop_token& stop = {}) {
    return JoinUntil(Deadline::After(duration), stop);
  }
  Joined<T> Join(const std::stop_token& stop) { return JoinUntil(Deadline::Never(), stop); }

  // Lets the task run on by itself. No effect when not joinable.
  void Detach() {
    if (task_ != nullptr) internal::Detach(std::exchange(task_, nullptr));
  }

  // Whether there is a task that was neither joined nor detached.
  bool joinable() const { return task_ != nullptr; }

  // Whether Join would return at once. Requires: joinable().
  bool done() const {
    RequireTask();
    return internal::HasEnded(task_);
  }

  // The task's id; 0 when not joinable.
  uint64_t id() const { return task_ != nullptr ? internal::TaskId(task_) : 0; }

 private:
  void RequireTask() const {
    if (task_ == nullptr) [[unlikely]]
      internal::ThrowNotJoinable();
  }

  // Of a task that has ended.
  T Take() {
    struct Release {
      internal::Task* task;
      ~Release() { internal::ReleaseEnded(task); }
    } release{std::exchange(task_, nullptr)};
    return internal::TakeResult<T>(internal::BodyOf(release.task));
  }

  internal::Task* task_ = nullptr;
};

}  // namespace curg
