// SPDX-License-Identifier: Apache-2.0
//
// SleepClock: when a sleep begins. Where many tasks sleep often, to read CLOCK_MONOTONIC is a tenth
// of what a sleep costs.
#pragma once

#include <cstdint>

namespace curg::internal {

class SleepClock {
 public:
  // MonotonicNow(), or up to kLateNs later; never sooner. What was read on this thread a moment ago
  // is carried on by the time-stamp counter, where the kernel's clock goes by that, too.
  // Thread-safe.
  static int64_t Now();

  static constexpr int64_t kLateNs = 1'000;
};

}  // namespace curg::internal
