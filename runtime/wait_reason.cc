// SPDX-License-Identifier: Apache-2.0
#include "runtime/wait_reason.h"

namespace curg::internal {

const char* WaitReasonName(WaitReason reason) {
  switch (reason) {
    case WaitReason::kNone:
      return "none";
    case WaitReason::kSleep:
      return "sleep";
    case WaitReason::kJoin:
      return "join";
    case WaitReason::kChannelSend:
      return "channel send";
    case WaitReason::kChannelReceive:
      return "channel receive";
    case WaitReason::kSelect:
      return "select";
    case WaitReason::kMutexLock:
      return "mutex lock";
    case WaitReason::kSharedMutexLock:
      return "shared mutex lock";
    case WaitReason::kConditionWait:
      return "condition wait";
    case WaitReason::kSemaphoreAcquire:
      return "semaphore acquire";
    case WaitReason::kWaitGroupWait:
      return "wait group wait";
    case WaitReason::kBarrierWait:
      return "barrier wait";
    case WaitReason::kOnce:
      return "once";
    case WaitReason::kTaskGroupWait:
      return "task group wait";
    case WaitReason::kBlockingSlot:
      return "blocking slot";
    case WaitReason::kServiceWait:
      return "service wait";
    case WaitReason::kIoRead:
      return "I/O read";
    case WaitReason::kIoWrite:
      return "I/O write";
    case WaitReason::kIoOperation:
      return "I/O operation";
  }
  return "unknown";
}

}  // namespace curg::internal
