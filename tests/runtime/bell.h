// SPDX-License-Identifier: Apache-2.0
//
// Bell: the smallest thing that can be waited for: one wake-up, for one waiter.
#pragma once

#include <mutex>
#include <utility>

#include "gtest/gtest.h"
#include "runtime/claim_waiter.h"
#include "runtime/deadline.h"
#include "runtime/spin_lock.h"

namespace curg::internal {

// Thread-safe; one waiter at a time.
class Bell {
 public:
  // False: nobody rang before the deadline.
  bool Await(Deadline deadline) {
    ClaimWaiter waiter;
    lock_.lock();
    if (std::exchange(rung_, false)) {
      lock_.unlock();
      return true;
    }
    waiter_ = &waiter;
    lock_.unlock();
    if (waiter.Wait(WaitReason::kNone, this, deadline.nanoseconds())) return true;
    std::lock_guard lock(lock_);
    if (waiter_ == &waiter) waiter_ = nullptr;
    return false;
  }

  // Rings once somebody waits, perhaps before it has lain down.
  void RingWaiter() {
    ClaimWaiter* waiter = nullptr;
    while (waiter == nullptr) {
      std::lock_guard lock(lock_);
      waiter = std::exchange(waiter_, nullptr);
    }
    EXPECT_TRUE(waiter->TryClaim());
    waiter->Wake();
  }

  void Ring() {
    ClaimWaiter* waiter;
    {
      std::lock_guard lock(lock_);
      waiter = std::exchange(waiter_, nullptr);
      if (waiter == nullptr || !waiter->TryClaim()) {
        rung_ = true;
        return;
      }
    }
    waiter->Wake();
  }

 private:
  SpinLock lock_;
  ClaimWaiter* waiter_ = nullptr;
  bool rung_ = false;
};

}  // namespace curg::internal
