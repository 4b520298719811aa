// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/shared_mutex.h"

#include <mutex>

#include "runtime/sync/self_deadlock.h"

namespace curg {
namespace {

// Whom debug builds remember as the writer.
const void* Caller() {
#ifdef NDEBUG
  return nullptr;
#else
  return internal::CallerToken();
#endif
}

}  // namespace

SharedMutex::~SharedMutex() {
  if (!waiters_.empty()) internal::FatalMisuse("destroys a SharedMutex on which somebody waits");
}

bool SharedMutex::FitsLocked(int64_t mode) const {
  return mode == kWriter ? holders_ == 0 : holders_ >= 0;
}

void SharedMutex::AdmitLocked(int64_t mode, const void* who) {
  holders_ += mode == kWriter ? -1 : 1;
  if (mode == kWriter) writer_ = who;
}

bool SharedMutex::TryAcquire(Mode mode) {
  const void* const caller = Caller();
  std::lock_guard lock(lock_);
  if (!waiters_.empty() || !FitsLocked(mode)) return false;
  AdmitLocked(mode, caller);
  return true;
}

WaitStatus SharedMutex::Acquire(Mode mode, const internal::WaitLimits& limits) {
  const void* const caller = Caller();
  lock_.lock();
  if (waiters_.empty() && FitsLocked(mode)) {
    AdmitLocked(mode, caller);
    lock_.unlock();
    return WaitStatus::kOk;
  }
  if (caller != nullptr && writer_ == caller && !limits.limited()) {
    lock_.unlock();
    internal::ThrowSelfDeadlock("locks a SharedMutex that it holds as its writer");
  }
  const WaitStatus status =
      WaitInQueue<SharedMutex>(waiters_, lock_, limits, internal::WaitReason::kSharedMutexLock,
                               this, const_cast<void*>(caller), mode);
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
    AdmitLocked(mode, first->slot);
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
  if (writer_ != Caller()) {
    internal::FatalMisuse("unlocks a SharedMutex that somebody else has locked");
  }
  holders_ = 0;
  writer_ = nullptr;
  LetInAndUnlock();
}

void SharedMutex::unlock_shared() {
  lock_.lock();
  if (holders_ <= 0) internal::FatalMisuse("unlocks a SharedMutex that no reader holds");
  --holders_;
  LetInAndUnlock();
}

}  // namespace curg
