// SPDX-License-Identifier: Apache-2.0
//
// TaskOperation: one asynchronous operation of Boost.Asio's that a task (or a plain thread) waits
// for.
//
// The handler's associated executor is the waiting task itself: what an operation has to do between
// its first step and its last (continue a composed read, compute a TLS handshake) is queued here
// and runs on the task's own stack, with its labels, while the worker in the reactor only makes the
// task runnable. So the steps of one operation never run in parallel, and cancelling it, which the
// task does as well, needs no strand.
#pragma once

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>

#include <atomic>
#include <cstddef>
#include <new>
#include <optional>
#include <tuple>
#include <utility>

#include "runtime/claim_waiter.h"
#include "runtime/spin_lock.h"
#include "runtime/wait_limits.h"
#include "runtime/wait_status.h"

namespace curg::internal {

class Netpoll;

// On the waiter's stack. Post, Finish, Abandon, Allocate and Free are thread-safe, the rest is the
// waiter's.
class TaskOperation {
 public:
  // A function that waits to be run by the task.
  struct Step {
    Step* next = nullptr;
    void (*run)(Step* step, bool call) = nullptr;  // frees it, and calls it if `call`
  };

  explicit TaskOperation(const WaitLimits& limits);
  ~TaskOperation();
  TaskOperation(const TaskOperation&) = delete;
  TaskOperation& operator=(const TaskOperation&) = delete;

  // Runs the operation's steps until it has finished. If a limit comes first, asks it to end (which
  // it may decline) and goes on waiting; then says which limit. Blocks: the task or the plain
  // thread.
  WaitStatus Wait();

  void Post(Step* step);
  // The result is there. The TaskOperation may be gone when this returns.
  void Finish();
  // The handler was destroyed without having been called.
  void Abandon();

  // Memory that lasts until Wait has returned; the first blocks lie on the stack.
  void* Allocate(size_t size);
  void Free(void* block);

  boost::asio::cancellation_slot slot() {
    return limits_.limited() ? cancel_.slot() : boost::asio::cancellation_slot();
  }
  boost::asio::execution_context& context() const;

 private:
  static constexpr size_t kBlockSize = 320;  // an operation of a socket's; a small composed one
  static constexpr int kBlocks = 2;

  Step* TakeSteps();
  void RunSteps();
  void WakeWaiter(bool finished, Step* step);

  const WaitLimits limits_;
  Netpoll* const netpoll_;  // null: a plain thread waits
  boost::asio::cancellation_signal cancel_;

  SpinLock lock_;
  // Guarded by lock_.
  Step* first_ = nullptr;
  Step** last_ = &first_;
  ClaimWaiter* waiter_ = nullptr;
  bool finished_ = false;

  std::atomic<bool> taken_[kBlocks] = {};
  alignas(std::max_align_t) std::byte blocks_[kBlocks][kBlockSize];
};

// Runs functions on the task that waits for `operation`.
class TaskExecutor {
 public:
  explicit TaskExecutor(TaskOperation& operation) : operation_(&operation) {}

  template <typename Fn>
  void execute(Fn&& fn) const {
    using Call = StepOf<std::decay_t<Fn>>;
    void* const block = operation_->Allocate(sizeof(Call));
    operation_->Post(new (block) Call(operation_, std::forward<Fn>(fn)));
  }

  boost::asio::execution_context& query(boost::asio::execution::context_t) const {
    return operation_->context();
  }
  static constexpr boost::asio::execution::blocking_t query(boost::asio::execution::blocking_t) {
    return boost::asio::execution::blocking.never;
  }

  friend bool operator==(const TaskExecutor&, const TaskExecutor&) = default;

 private:
  template <typename Fn>
  struct StepOf : TaskOperation::Step {
    StepOf(TaskOperation* operation, Fn&& fn) : operation(operation), fn(std::move(fn)) {
      run = &Run;
    }
    StepOf(TaskOperation* operation, const Fn& fn) : operation(operation), fn(fn) { run = &Run; }

    static void Run(TaskOperation::Step* step, bool call) {
      auto* const self = static_cast<StepOf*>(step);
      TaskOperation* const operation = self->operation;
      Fn fn(std::move(self->fn));
      self->~StepOf();
      operation->Free(self);
      if (call) std::move(fn)();
    }

    TaskOperation* const operation;
    Fn fn;
  };

  TaskOperation* operation_;
};

// Standard allocator of an operation's memory.
template <typename T>
class TaskAllocator {
 public:
  using value_type = T;

  explicit TaskAllocator(TaskOperation& operation) : operation_(&operation) {}
  template <typename U>
  TaskAllocator(const TaskAllocator<U>& other)
      : operation_(other.operation_) {}  // NOLINT: as allocators do

  T* allocate(size_t count) {
    static_assert(alignof(T) <= alignof(std::max_align_t));
    return static_cast<T*>(operation_->Allocate(count * sizeof(T)));
  }
  void deallocate(T* block, size_t) { operation_->Free(block); }

  template <typename U>
  friend bool operator==(const TaskAllocator& a, const TaskAllocator<U>& b) {
    return a.operation_ == b.operation_;
  }

 private:
  template <typename U>
  friend class TaskAllocator;

  TaskOperation* operation_;
};

// The completion handler: keeps what the operation came to.
template <typename... Results>
class TaskHandler {
 public:
  using Result = std::optional<std::tuple<Results...>>;
  using executor_type = TaskExecutor;
  using allocator_type = TaskAllocator<void>;
  using cancellation_slot_type = boost::asio::cancellation_slot;

  TaskHandler(TaskOperation& operation, Result& result)
      : operation_(&operation), result_(&result) {}
  TaskHandler(TaskHandler&& other) noexcept
      : operation_(std::exchange(other.operation_, nullptr)), result_(other.result_) {}
  ~TaskHandler() {
    if (operation_ != nullptr) operation_->Abandon();
  }

  template <typename... Given>
  void operator()(Given&&... given) {
    result_->emplace(std::forward<Given>(given)...);
    std::exchange(operation_, nullptr)->Finish();
  }

  executor_type get_executor() const noexcept { return TaskExecutor(*operation_); }
  allocator_type get_allocator() const noexcept { return allocator_type(*operation_); }
  cancellation_slot_type get_cancellation_slot() const noexcept { return operation_->slot(); }

 private:
  TaskOperation* operation_;
  Result* result_;
};

}  // namespace curg::internal
