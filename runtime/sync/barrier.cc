// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/barrier.h"

#include <stdexcept>
#include <string>

namespace curg {

Barrier::Barrier(uint32_t count) : expected_(count) {
  if (count == 0) {
    throw std::invalid_argument("curg: " + internal::CallerName() + ": makes a Barrier for nobody");
  }
}

Barrier::~Barrier() {
  if (!waiters_.empty()) internal::FatalMisuse("destroys a Barrier on which somebody waits");
}

WaitStatus Barrier::ArriveWithin(const internal::WaitLimits& limits, bool* last) {
  LockUnlessDeserted();
  *last = arrived_ + 1 == expected_;
  if (*last) {
    EndPhaseAndUnlock();
    return WaitStatus::kOk;
  }
  ++arrived_;
  return WaitInQueue<Barrier>(waiters_, lock_, limits, internal::WaitReason::kBarrierWait, this,
                              nullptr, 0, &TakeBack);
}

WaitStatus Barrier::TakeBack(Barrier* barrier, bool linked, WaitStatus status) {
  if (!linked) return WaitStatus::kOk;
  --barrier->arrived_;
  return status;
}

void Barrier::ArriveAndDrop() {
  LockUnlessDeserted();
  --expected_;
  if (expected_ != 0 && arrived_ == expected_) {
    EndPhaseAndUnlock();
  } else {
    lock_.unlock();
  }
}

void Barrier::LockUnlessDeserted() {
  lock_.lock();
  if (expected_ != 0) return;
  lock_.unlock();
  throw std::logic_error("curg: " + internal::CallerName() +
                         ": comes to a Barrier that all have left");
}

void Barrier::EndPhaseAndUnlock() {
  arrived_ = 0;
  internal::WaitNode* const nodes = waiters_.TakeAll();
  lock_.unlock();
  FinishAll(nodes, WaitStatus::kOk);
}

}  // namespace curg
