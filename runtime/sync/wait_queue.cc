// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/wait_queue.h"

#include <optional>

namespace curg::internal {
namespace {

// Claims the waiter when a stop is requested. Runs on the requester's thread, or on the waiter's
// own.
struct CancelWait {
  void operator()() const noexcept {
    if (!waiter->TryClaim()) return;
    *cancelled = true;
    waiter->Wake();
  }
  ClaimWaiter* waiter;
  bool* cancelled;
};

}  // namespace

WaitStatus WaitClaimed(ClaimWaiter& waiter, const WaitLimits& limits, WaitReason reason,
                       const void* object) {
  bool cancelled = false;  // written by whoever claimed
  // Its destructor waits for a callback that is running, so the two pointers stay good.
  std::optional<std::stop_callback<CancelWait>> on_stop;
  if (limits.stop != nullptr && limits.stop->stop_possible()) {
    on_stop.emplace(*limits.stop, CancelWait{&waiter, &cancelled});
  }
  if (!waiter.Wait(reason, object, limits.deadline.nanoseconds())) return WaitStatus::kTimeout;
  return cancelled ? WaitStatus::kCancelled : WaitStatus::kOk;
}

}  // namespace curg::internal
