// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/select_core.h"

#include <functional>

namespace curg::internal {

size_t SelectCore::Run(std::span<SelectCase> cases, const SelectLimits& limits) {
  SelectCore select(cases);
  select.SortForLocking();
  select.LockAll();
  if (const SelectCase* done = select.TryOne()) return done - cases.data();
  if (limits.default_index != kNoCase) {
    select.UnlockAll();
    return limits.default_index;
  }
  ClaimWaiter waiter;
  select.EnqueueAll(waiter);
  select.UnlockAll();
  const WaitStatus status = WaitClaimed(waiter, limits.wait, WaitReason::kSelect, cases.data());
  select.DequeueAll();
  if (status == WaitStatus::kTimeout) return limits.timeout_index;
  if (status == WaitStatus::kCancelled) return limits.stop_index;
  return select.Finished();
}

void SelectCore::SortForLocking() {
  const std::less<ChannelCore*> before;
  for (SelectCase& one : cases_) {
    if (one.channel == nullptr) continue;
    SelectCase** place = &first_to_lock_;
    while (*place != nullptr && before((*place)->channel, one.channel)) {
      place = &(*place)->next_to_lock;
    }
    if (*place != nullptr && (*place)->channel == one.channel) continue;
    one.next_to_lock = *place;
    *place = &one;
  }
}

void SelectCore::LockAll() {
  for (SelectCase* one = first_to_lock_; one != nullptr; one = one->next_to_lock) {
    one->channel->lock_.lock();
  }
}

void SelectCore::UnlockAll() {
  for (SelectCase* one = first_to_lock_; one != nullptr; one = one->next_to_lock) {
    one->channel->lock_.unlock();
  }
}

// False: it cannot be done now. True: it can, unless all who wait there have given up.
bool SelectCore::LooksReady(const SelectCase& one) {
  const ChannelCore* const channel = one.channel;
  if (channel == nullptr || one.ruled_out) return false;
  if (channel->closed_) return true;
  if (one.send) return channel->count_ < channel->capacity_ || !channel->receivers_.empty();
  return channel->count_ > 0 || !channel->senders_.empty();
}

// Each of those that look ready with the same probability; null if none does.
SelectCase* SelectCore::PickReady() {
  uint32_t ready = 0;
  for (const SelectCase& one : cases_) ready += LooksReady(one);
  if (ready == 0) return nullptr;
  uint32_t skip = ready == 1 ? 0 : RandomBelow(ready);
  for (SelectCase& one : cases_) {
    if (LooksReady(one) && skip-- == 0) return &one;
  }
  return nullptr;
}

// Carries one out and unlocks everything; or null, with everything locked still.
SelectCase* SelectCore::TryOne() {
  while (SelectCase* one = PickReady()) {
    ChannelCore* const channel = one->channel;
    const ChannelCore::Step step =
        one->send ? channel->StepSend(one->slot) : channel->StepReceive(one->slot);
    if (step.status == WaitStatus::kWouldBlock) {
      one->ruled_out = true;
      continue;
    }
    UnlockAll();
    one->status =
        one->send ? channel->EndSend(step, one->slot) : channel->EndReceive(step, one->slot);
    return one;
  }
  return nullptr;
}

void SelectCore::EnqueueAll(ClaimWaiter& waiter) {
  for (SelectCase& one : cases_) {
    if (one.channel == nullptr) continue;
    one.node.contested = &waiter;
    one.node.slot = one.slot;
    (one.send ? one.channel->senders_ : one.channel->receivers_).PushBack(&one.node);
  }
}

void SelectCore::DequeueAll() {
  for (SelectCase& one : cases_) {
    if (one.channel == nullptr || one.node.status != WaitStatus::kWouldBlock) continue;
    one.channel->lock_.lock();
    (one.send ? one.channel->senders_ : one.channel->receivers_).Remove(&one.node);
    one.channel->lock_.unlock();
  }
}

// The index of the case that somebody else has carried out.
size_t SelectCore::Finished() const {
  for (SelectCase& one : cases_) {
    if (one.node.status == WaitStatus::kWouldBlock) continue;
    one.status = one.node.status;
    return &one - cases_.data();
  }
  return kNoCase;
}

}  // namespace curg::internal
