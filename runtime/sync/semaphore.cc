// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/semaphore.h"

#include <mutex>
#include <stdexcept>
#include <string>

namespace curg {
namespace {

constexpr int64_t kPermitsMax = int64_t{1} << 62;

void CheckNotNegative(int64_t count) {
  if (count >= 0) return;
  throw std::invalid_argument("curg: " + internal::CallerName() +
                              ": gives a Semaphore a negative number of permits");
}

}  // namespace

Semaphore::Semaphore(int64_t permits) : permits_(permits) { CheckNotNegative(permits); }

Semaphore::~Semaphore() {
  if (!waiters_.empty()) {
    internal::FatalMisuse("destroys a Semaphore on which somebody waits");
  }
}

bool Semaphore::TryAcquire(int64_t count) {
  CheckNotNegative(count);
  std::lock_guard lock(lock_);
  if (!waiters_.empty() || permits_ < count) return false;
  permits_ -= count;
  return true;
}

WaitStatus Semaphore::AcquireWithin(int64_t count, const internal::WaitLimits& limits) {
  CheckNotNegative(count);
  lock_.lock();
  if (waiters_.empty() && permits_ >= count) {
    permits_ -= count;
    lock_.unlock();
    return WaitStatus::kOk;
  }
  const WaitStatus status = WaitInQueue<Semaphore>(
      waiters_, lock_, limits, internal::WaitReason::kSemaphoreAcquire, this, nullptr, count);
  // One who wanted many may have held up others who want few.
  if (status != WaitStatus::kOk) Release(0);
  return status;
}

void Semaphore::Release(int64_t count) {
  CheckNotNegative(count);
  lock_.lock();
  if (count > kPermitsMax - permits_) {
    lock_.unlock();
    throw std::overflow_error("curg: " + internal::CallerName() +
                              ": releases more permits than a Semaphore holds");
  }
  permits_ += count;
  internal::WaitNode* const granted = GrantLocked();
  lock_.unlock();
  FinishAll(granted, WaitStatus::kOk);
}

// Takes those, from the front, for whom there are permits enough.
internal::WaitNode* Semaphore::GrantLocked() {
  internal::WaitNode* granted = nullptr;
  internal::WaitNode** end = &granted;
  while (internal::WaitNode* first = waiters_.first()) {
    const int64_t wanted = first->detail;
    if (wanted > permits_) break;
    if (!waiters_.TakeIfUnclaimed(first)) continue;
    permits_ -= wanted;
    first->next = nullptr;
    *end = first;
    end = &first->next;
  }
  return granted;
}

int64_t Semaphore::available() const {
  std::lock_guard lock(lock_);
  return permits_;
}

}  // namespace curg
