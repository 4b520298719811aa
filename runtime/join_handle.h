// SPDX-License-Identifier: Apache-2.0
//
// JoinHandle: the one claim on a task's value.
#pragma once

#include <cstdint>
#include <utility>

#include "runtime/check.h"
#include "runtime/task_body.h"

namespace curg {

namespace internal {

class Task;

// What JoinHandle needs of a task, without its definition. All but TaskId: once, by the handle.
uint64_t TaskId(const Task* task);
TaskBody& BodyOf(Task* task);
bool HasEnded(const Task* task);
void AwaitEnd(Task* task);       // Blocks: the task, or the plain thread
void ReleaseEnded(Task* task);   // the record is free afterwards
void Detach(Task* task);

}  // namespace internal

// Move-only. Dropping it detaches the task, which then runs on by itself; its value or exception is
// destroyed unseen.
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
    CURG_CHECK(task_ != nullptr, "join a task once, and not after Detach");
    internal::AwaitEnd(task_);
    struct Release {
      internal::Task* task;
      ~Release() { internal::ReleaseEnded(task); }
    } release{std::exchange(task_, nullptr)};
    return internal::TakeResult<T>(internal::BodyOf(release.task));
  }

  // Lets the task run on by itself. No effect when not joinable.
  void Detach() {
    if (task_ != nullptr) internal::Detach(std::exchange(task_, nullptr));
  }

  // Whether there is a task that was neither joined nor detached.
  bool joinable() const { return task_ != nullptr; }

  // Whether Join would return at once. Requires: joinable().
  bool done() const { return internal::HasEnded(task_); }

  // The task's id; 0 when not joinable.
  uint64_t id() const { return task_ != nullptr ? internal::TaskId(task_) : 0; }

 private:
  internal::Task* task_ = nullptr;
};

}  // namespace curg
