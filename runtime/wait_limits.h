// SPDX-License-Identifier: Apache-2.0
//
// WaitLimits: when a wait gives up, and the one wait that does.
#pragma once

#include <optional>
#include <stop_token>

#include "runtime/deadline.h"
#include "runtime/wait_reason.h"
#include "runtime/wait_status.h"

namespace curg::internal {

// Passed down by reference; the token is the caller's.
struct WaitLimits {
  Deadline deadline = Deadline::Never();
  const std::stop_token* stop = nullptr;

  bool limited() const {
    return !deadline.is_never() || (stop != nullptr && stop->stop_possible());
  }

  // Which limit has been reached by now; kOk: none.
  WaitStatus Reached() const {
    if (stop != nullptr && stop->stop_requested()) return WaitStatus::kCancelled;
    const bool late = !deadline.is_never() && deadline.nanoseconds() <= MonotonicNow();
    return late ? WaitStatus::kTimeout : WaitStatus::kOk;
  }
};

// Claims the waiter when a stop is requested. Runs on the requester's thread, or on the waiter's
// own.
template <typename Claimable>
struct CancelWait {
  void operator()() const noexcept {
    if (!waiter->TryClaim()) return;
    *cancelled = true;
    waiter->Wake();
  }
  Claimable* waiter;
  bool* cancelled;
};

// Waits until somebody who claimed `waiter` (a ClaimWaiter, or a test's) wakes it: kOk; or until
// one of the limits comes first: kTimeout, kCancelled. Wakers may still know the waiter then.
// Requires: no lock held. Blocks: the task or the plain thread.
template <typename Claimable>
WaitStatus WaitClaimed(Claimable& waiter, const WaitLimits& limits, WaitReason reason,
                       const void* object) {
  bool cancelled = false;  // written by whoever claimed
  // Its destructor waits for a callback that is running, so the two pointers stay good.
  std::optional<std::stop_callback<CancelWait<Claimable>>> on_stop;
  if (limits.stop != nullptr && limits.stop->stop_possible()) {
    on_stop.emplace(*limits.stop, CancelWait<Claimable>{&waiter, &cancelled});
  }
  if (!waiter.Wait(reason, object, limits.deadline.nanoseconds())) return WaitStatus::kTimeout;
  return cancelled ? WaitStatus::kCancelled : WaitStatus::kOk;
}

}  // namespace curg::internal
