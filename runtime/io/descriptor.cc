// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/descriptor.h"

#include <new>
#include <utility>

#include "runtime/caller.h"
#include "runtime/claim_waiter.h"
#include "runtime/park.h"
#include "runtime/thread_state.h"

namespace curg::internal {

WaitStatus Descriptor::Wait(Way way, const WaitLimits& limits) {
  uintptr_t& side = sides_[static_cast<int>(way)];
  lock_.lock();
  if (side == kReady) {
    side = 0;
    lock_.unlock();
    return WaitStatus::kOk;
  }
  if (side != 0) FatalMisuse("reads (or writes) a stream while another task does; one at a time");
  const WaitReason reason = way == Way::kRead ? WaitReason::kIoRead : WaitReason::kIoWrite;
  Task* const task = TaskToPark();
  if (task == nullptr || limits.limited()) return WaitLimited(side, reason, limits);
  side = reinterpret_cast<uintptr_t>(task);
  Park(reason, this, &UnlockAndPark, &lock_);
  return WaitStatus::kOk;
}

// With lock_ held; returns without it. Or on a plain thread.
WaitStatus Descriptor::WaitLimited(uintptr_t& side, WaitReason reason, const WaitLimits& limits) {
  ClaimWaiter waiter;
  const uintptr_t word = reinterpret_cast<uintptr_t>(&waiter) | kClaimed;
  side = word;
  lock_.unlock();
  const WaitStatus status = WaitClaimed(waiter, limits, reason, this);
  if (status != WaitStatus::kOk) {
    std::lock_guard lock(lock_);
    if (side == word) side = 0;  // claimed by the limit, so no event has taken it
  }
  return status;
}

// With lock_ held.
Descriptor::Taken Descriptor::MarkReady(uintptr_t& side) {
  const uintptr_t word = std::exchange(side, kReady);
  if (word <= kReady) return {};
  // One that a limit has claimed may wait again, and must find kReady then.
  if ((word & kClaimed) != 0 && !reinterpret_cast<ClaimWaiter*>(word & ~kClaimed)->TryClaim())
    return {};
  side = 0;
  return Taken(word);
}

void Descriptor::Taken::Wake() const {
  if ((word_ & kClaimed) != 0) {
    reinterpret_cast<ClaimWaiter*>(word_ & ~kClaimed)->Wake();
  } else {
    Unpark(reinterpret_cast<Task*>(word_));
  }
}

Descriptor::Woken Descriptor::OnEvents(uint32_t events) {
  constexpr uint32_t kBoth = EPOLLERR | EPOLLHUP;
  Woken woken;
  std::lock_guard lock(lock_);
  if ((events & (kBoth | EPOLLRDHUP)) != 0) ended_.store(true, std::memory_order_relaxed);
  if ((events & (kBoth | EPOLLRDHUP | EPOLLIN)) != 0) woken.reader = MarkReady(sides_[0]);
  if ((events & (kBoth | EPOLLOUT)) != 0) woken.writer = MarkReady(sides_[1]);
  return woken;
}

bool Descriptor::HasWaiter() {
  std::lock_guard lock(lock_);
  return sides_[0] > kReady || sides_[1] > kReady;
}

void Descriptor::Reset() {
  std::lock_guard lock(lock_);
  if (sides_[0] > kReady || sides_[1] > kReady)
    FatalMisuse("closes a stream that a task reads or writes; Shutdown wakes those that do");
  sides_[0] = sides_[1] = 0;
  ended_.store(false, std::memory_order_relaxed);
}

DescriptorPool::~DescriptorPool() {
  for (Descriptor* block : blocks_) delete[] block;
}

Descriptor* DescriptorPool::Take() {
  std::lock_guard lock(lock_);
  if (free_ == nullptr) {
    try {
      blocks_.reserve(blocks_.size() + 1);
      blocks_.push_back(new Descriptor[kBlock]);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    for (size_t i = 0; i < kBlock; ++i) {
      blocks_.back()[i].next_free_ = std::exchange(free_, &blocks_.back()[i]);
    }
  }
  return std::exchange(free_, free_->next_free_);
}

void DescriptorPool::Return(Descriptor* descriptor) {
  descriptor->Reset();
  std::lock_guard lock(lock_);
  descriptor->next_free_ = std::exchange(free_, descriptor);
}

bool DescriptorPool::AnyWaiter() {
  std::lock_guard lock(lock_);
  for (Descriptor* block : blocks_) {
    for (size_t i = 0; i < kBlock; ++i) {
      if (block[i].HasWaiter()) return true;
    }
  }
  return false;
}

}  // namespace curg::internal
