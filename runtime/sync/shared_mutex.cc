// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/shared_mutex.h"

#include <mutex>

namespace curg {

SharedMutex::~SharedMutex() {
  if (!waiters_.empty()) internal::FatalMisuse("destroys a SharedMutex on which somebody waits");
}

bool SharedMutex::FitsLocked(int64_t mode) const {
  return mode == kWriter ? holders_ == 0 : holders_ >= 0;
}

void SharedMutex::AdmitLocked(int64_t mode) { holders_ += mode == kWriter ? -1 : 1; }

bool SharedMutex::TryAcquire(Mode mode) {
  std::lock_guard lock(lock_);
  if (!waiters_.empty() || !FitsLocked(mode)) return false;
  AdmitLocked(mode);
  return true;
}

WaitStatus SharedMutex::Acquire(Mode mode, const internal::WaitLimits& limits) {
  lock_.lock();
  if (waiters_.empty() && FitsLocked(mode)) {
    AdmitLocked(mode);
    lock_.unlock();
    return WaitStatus::kOk;
  }
  const WaitStatus status = WaitInQueue<SharedMutex>(
      waiters_, lock_, limits, internal::WaitReason::kSharedMutexLock, this, nullptr, mode);
  if (status != WaitStatus::kOk) {
    // A writer that gave up may have held up readers behind it.
    lock_.lock();
    LetInAndUnlock();
  }
  return status;
}

// Lets those in, from the front, who can go in as things are.
void SharedMutex::LetInAndUnlock() {
  internal::WaitNode* admitted = nullptr;
  internal::WaitNode** end = &admitted;
  while (internal::WaitNode* first = waiters_.first()) {
    const int64_t mode = first->detail;
    if (!FitsLocked(mode)) break;
    if (!waiters_.TakeIfUnclaimed(first)) continue;
    AdmitLocked(mode);
    first->next = nullptr;
    *end = first;
    end = &first->next;
  }
  lock_.unlock();
  FinishAll(admitted, WaitStatus::kOk);
}

void SharedMutex::unlock() {
  lock_.lock();
  if (holders_ != -1) internal::FatalMisuse("unlocks a SharedMutex that no writer holds");
  holders_ = 0;
  LetInAndUnlock();
}

void SharedMutex::unlock_shared() {
  lock_.lock();
  if (holders_ <= 0) internal::FatalMisuse("unlocks a SharedMutex that no reader holds");
  --holders_;
  LetInAndUnlock();
}

}  // namespace curg
