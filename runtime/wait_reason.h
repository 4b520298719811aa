// SPDX-License-Identifier: Apache-2.0
//
// WaitReason: why a task is parked, as dumps say it.
#pragma once

#include <cstdint>

namespace curg::internal {

// Why a task is parked. One reason a place; add new ones rather than reuse.
enum class WaitReason : uint8_t {
  kNone,
  kSleep,
  kJoin,
  kChannelSend,
  kChannelReceive,
  kSelect,
  kMutexLock,
  kSharedMutexLock,
  kConditionWait,
  kSemaphoreAcquire,
  kWaitGroupWait,
  kBarrierWait,
  kOnce,
  kTaskGroupWait,
  kBlockingSlot,
  kServiceWait,
  kIoRead,
  kIoWrite,
  kIoOperation,
};

// The reason in words, as in a task dump: "channel receive".
const char* WaitReasonName(WaitReason reason);

// What a sleeping task waits for is no object but a moment (MonotonicNow): it lies in the record in
// the object's place, so that neither waking nor dumping the task needs what is on its stack.
inline const void* SleepObject(int64_t when) { return reinterpret_cast<const void*>(when); }
inline int64_t SleepEnd(const void* object) { return reinterpret_cast<int64_t>(object); }

}  // namespace curg::internal
