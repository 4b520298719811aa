// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/channel_core.h"

#include <mutex>
#include <new>
#include <stdexcept>
#include <utility>

namespace curg::internal {
namespace {

uint32_t CheckCapacity(size_t capacity, size_t element_size) {
  if (capacity > ChannelCore::kCapacityMax || capacity > SIZE_MAX / 2 / element_size) {
    throw std::length_error("curg::Channel: the capacity is too great");
  }
  return static_cast<uint32_t>(capacity);
}

}  // namespace

void ThrowChannelClosed() {
  throw ChannelClosed("curg: " + CallerName() + ": sends on a closed channel");
}

ChannelCore::ChannelCore(size_t capacity, const ElementOps& ops)
    : capacity_(CheckCapacity(capacity, ops.size)), ops_(ops) {
  if (capacity_ == 0) return;
  const auto alignment = std::align_val_t(ops.alignment);
  ring_ = static_cast<char*>(::operator new(capacity* ops.size, alignment));
}

ChannelCore::~ChannelCore() {
  if (!senders_.empty() || !receivers_.empty()) {
    FatalMisuse("destroys a Channel on which somebody waits: close it, and join its users first");
  }
  for (uint32_t i = 0; i < count_; ++i) ops_.destroy(At(i, ops_.size));
  if (ring_ != nullptr) ::operator delete(ring_, std::align_val_t(ops_.alignment));
}

void ChannelCore::PushRing(void* element) {
  ops_.store(At(count_, ops_.size), element);
  ++count_;
}

void ChannelCore::PopRing(void* slot) {
  void* const oldest = At(0, ops_.size);
  ops_.emplace(slot, oldest);
  ops_.destroy(oldest);
  DropOldest();
}

WaitStatus ChannelCore::TrySendLocked(void* element) {
  const Step step = StepSend(element);
  lock_.unlock();
  return EndSend(step, element);
}

WaitStatus ChannelCore::TryReceiveLocked(void* slot) {
  const Step step = StepReceive(slot);
  lock_.unlock();
  return EndReceive(step, slot);
}

WaitStatus ChannelCore::SendLocked(void* element, const WaitLimits& limits) {
  const Step step = StepSend(element);
  if (step.status == WaitStatus::kWouldBlock) {
    return WaitInQueue<ChannelCore>(senders_, lock_, limits, WaitReason::kChannelSend, this,
                                    element);
  }
  lock_.unlock();
  return EndSend(step, element);
}

WaitStatus ChannelCore::ReceiveLocked(void* slot, const WaitLimits& limits) {
  const Step step = StepReceive(slot);
  if (step.status == WaitStatus::kWouldBlock) {
    return WaitInQueue<ChannelCore>(receivers_, lock_, limits, WaitReason::kChannelReceive, this,
                                    slot);
  }
  lock_.unlock();
  return EndReceive(step, slot);
}

bool ChannelCore::Close() {
  lock_.lock();
  if (closed_) {
    lock_.unlock();
    return false;
  }
  closed_ = true;
  // At most one of the two has anybody but a select that stands in both, and it is taken once.
  // Senders all at once, as none may be served any more; receivers, of whom there may be a hundred
  // thousand, in handfuls: what was touched in order to take them is still in the cache when they
  // are woken. What they would find meanwhile is the same as what they are told.
  WaitNode* senders = senders_.TakeAll();
  while (true) {
    WaitNode* const receivers = receivers_.TakeAll(kTakenAtOnce);
    const bool more = !receivers_.empty();
    lock_.unlock();
    FinishAll(std::exchange(senders, nullptr), WaitStatus::kClosed);
    FinishAll(receivers, WaitStatus::kClosed);
    if (!more) return true;
    lock_.lock();
  }
}

size_t ChannelCore::size() {
  std::lock_guard lock(lock_);
  return count_;
}

bool ChannelCore::closed() {
  std::lock_guard lock(lock_);
  return closed_;
}

}  // namespace curg::internal
