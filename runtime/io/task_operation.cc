// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/task_operation.h"

#include <boost/asio/system_context.hpp>
#include <boost/asio/system_executor.hpp>

#include <mutex>

#include "runtime/io/asio_context.h"
#include "runtime/io/netpoll.h"
#include "runtime/thread_state.h"

namespace curg::internal {

TaskOperation::TaskOperation(const WaitLimits& limits)
    : limits_(limits), netpoll_(CurrentTask() != nullptr ? &Netpoll::Current() : nullptr) {}

// Steps that are left belong to an operation that called its handler too early; they are dropped.
TaskOperation::~TaskOperation() {
  for (Step* step = TakeSteps(); step != nullptr;) {
    Step* const next = step->next;
    step->run(step, /*call=*/false);
    step = next;
  }
}

boost::asio::execution_context& TaskOperation::context() const {
  if (netpoll_ == nullptr) return boost::asio::system_executor().context();
  return AsioContext::Of(*netpoll_).context();
}

TaskOperation::Step* TaskOperation::TakeSteps() {
  std::lock_guard lock(lock_);
  last_ = &first_;
  return std::exchange(first_, nullptr);
}

// What a step throws would leave the operation without an owner, so it ends the process.
void TaskOperation::RunSteps() {
  while (Step* step = TakeSteps()) {
    while (step != nullptr) {
      Step* const next = step->next;
      [step]() noexcept { step->run(step, /*call=*/true); }();
      step = next;
    }
  }
}

WaitStatus TaskOperation::Wait() {
  WaitStatus limit = WaitStatus::kOk;
  while (true) {
    RunSteps();
    ClaimWaiter waiter;
    {
      std::lock_guard lock(lock_);
      if (finished_) return limit;
      if (first_ != nullptr) continue;
      waiter_ = &waiter;
    }
    const WaitLimits limits = limit == WaitStatus::kOk ? limits_ : WaitLimits();
    const WaitStatus status = WaitClaimed(waiter, limits, WaitReason::kIoOperation, this);
    if (status == WaitStatus::kOk) continue;
    {
      std::lock_guard lock(lock_);
      waiter_ = nullptr;
    }
    limit = status;
    // What has come meanwhile comes first: it may have finished, and what it was doing may be gone.
    RunSteps();
    cancel_.emit(boost::asio::cancellation_type::all);
  }
}

void TaskOperation::WakeWaiter(bool finished, Step* step) {
  ClaimWaiter* waiter = nullptr;
  Netpoll* const netpoll = netpoll_;
  {
    std::lock_guard lock(lock_);
    if (step != nullptr) {
      *last_ = step;
      last_ = &step->next;
    }
    finished_ |= finished;
    if (waiter_ != nullptr && waiter_->TryClaim()) waiter = std::exchange(waiter_, nullptr);
  }
  // *this may be gone, if nobody waited; else it is there until the next line.
  if (waiter == nullptr) return;
  if (netpoll != nullptr) {
    netpoll->Wake(waiter);
  } else {
    waiter->Wake();
  }
}

void TaskOperation::Post(Step* step) { WakeWaiter(/*finished=*/false, step); }

void TaskOperation::Finish() { WakeWaiter(/*finished=*/true, nullptr); }

// When the runtime ends, its tasks never run again.
void TaskOperation::Abandon() {
  if (netpoll_ == nullptr || !netpoll_->ending()) Finish();
}

void* TaskOperation::Allocate(size_t size) {
  for (int i = 0; size <= kBlockSize && i < kBlocks; ++i) {
    // acquire: pairs with the release in Free()
    if (!taken_[i].exchange(true, std::memory_order_acquire)) return blocks_[i];
  }
  return ::operator new(size);
}

void TaskOperation::Free(void* block) {
  for (int i = 0; i < kBlocks; ++i) {
    if (block == blocks_[i]) return taken_[i].store(false, std::memory_order_release);
  }
  ::operator delete(block);
}

}  // namespace curg::internal
