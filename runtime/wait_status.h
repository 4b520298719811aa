// SPDX-License-Identifier: Apache-2.0
//
// WaitStatus: how a blocking call ended that need not end well.
#pragma once

#include <cstdint>

namespace curg {

enum class [[nodiscard]] WaitStatus : uint8_t{
    kOk,          // what was waited for has happened
    kWouldBlock,  // a try form, and it could not be done at once
    kClosed,      // the channel is closed (and, for a receive, drained)
    kTimeout,     // the deadline came first; nothing was changed
    kCancelled,   // a stop was requested first; nothing was changed
};

// "ok", "would block", "closed", "timeout", "cancelled".
constexpr const char* WaitStatusName(WaitStatus status) {
  switch (status) {
    case WaitStatus::kOk:
      return "ok";
    case WaitStatus::kWouldBlock:
      return "would block";
    case WaitStatus::kClosed:
      return "closed";
    case WaitStatus::kTimeout:
      return "timeout";
    case WaitStatus::kCancelled:
      return "cancelled";
  }
  return "?";
}

}  // namespace curg
