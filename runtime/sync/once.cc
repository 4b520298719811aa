// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/once.h"

#include "runtime/sync/self_deadlock.h"

namespace curg {

Once::~Once() {
  if (!waiters_.empty()) internal::FatalMisuse("destroys a Once on which somebody waits");
}

// Sets *mine if the caller is to run, and then to call End.
WaitStatus Once::Begin(const internal::WaitLimits& limits, bool* mine) {
  const void* const caller = internal::CallerToken();
  while (true) {
    lock_.lock();
    const State state = state_.load(std::memory_order_relaxed);  // relaxed: under lock_
    if (state != State::kRunning) {
      *mine = state == State::kNew;
      if (*mine) {
        state_.store(State::kRunning, std::memory_order_relaxed);  // relaxed: as above
        owner_ = caller;
      }
      lock_.unlock();
      return WaitStatus::kOk;
    }
    if (owner_ == caller) {
      lock_.unlock();
      internal::ThrowSelfDeadlock("calls Once::Do inside the function that it runs");
    }
    const WaitStatus status =
        WaitInQueue<Once>(waiters_, lock_, limits, internal::WaitReason::kOnce, this, nullptr);
    if (status != WaitStatus::kWouldBlock) return status;  // not: look again
  }
}

void Once::End(bool done) {
  lock_.lock();
  owner_ = nullptr;
  // release: pairs with the acquire in DoUntil
  state_.store(done ? State::kDone : State::kNew, std::memory_order_release);
  internal::WaitNode* const nodes = waiters_.TakeAll();
  lock_.unlock();
  FinishAll(nodes, done ? WaitStatus::kOk : WaitStatus::kWouldBlock);
}

}  // namespace curg
