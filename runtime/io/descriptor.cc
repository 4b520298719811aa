// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/descriptor.h"

#include <new>
#include <utility>

#include "runtime/check.h"

namespace curg::internal {

WaitStatus Descriptor::Wait(Way way, const WaitLimits& limits) {
  Side& side = sides_[static_cast<int>(way)];
  ClaimWaiter waiter;
  {
    std::lock_guard lock(lock_);
    if (std::exchange(side.ready, false)) return WaitStatus::kOk;
    CURG_CHECK(side.waiter == nullptr, "read (or write) a stream from one task at a time");
    side.waiter = &waiter;
  }
  const WaitReason reason = way == Way::kRead ? WaitReason::kIoRead : WaitReason::kIoWrite;
  const WaitStatus status = WaitClaimed(waiter, limits, reason, this);
  if (status != WaitStatus::kOk) {
    std::lock_guard lock(lock_);
    side.waiter = nullptr;  // claimed by the limit, so no event has taken it
  }
  return status;
}

// With lock_ held.
ClaimWaiter* Descriptor::MarkReady(Side& side) {
  // One that a limit has claimed takes itself out; it may wait again, and must find this then.
  if (side.waiter != nullptr && side.waiter->TryClaim()) return std::exchange(side.waiter, nullptr);
  side.ready = true;
  return nullptr;
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
  return sides_[0].waiter != nullptr || sides_[1].waiter != nullptr;
}

void Descriptor::Reset() {
  std::lock_guard lock(lock_);
  CURG_CHECK(sides_[0].waiter == nullptr && sides_[1].waiter == nullptr,
             "close a stream only when no task reads or writes it; Shutdown wakes those that do");
  sides_[0].ready = sides_[1].ready = false;
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
