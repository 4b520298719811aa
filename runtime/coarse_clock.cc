// SPDX-License-Identifier: Apache-2.0
#include "runtime/coarse_clock.h"

#include "runtime/timers.h"

namespace curg::internal {

constinit std::atomic<uint32_t> CoarseClock::now_{0};

int64_t CoarseClock::Advance() {
  const int64_t now = MonotonicNow();
  // relaxed: see Now()
  now_.store(static_cast<uint32_t>(now / kUnitNs), std::memory_order_relaxed);
  return now;
}

// A stamp made after `now_ns` was read counts as zero.
int64_t CoarseClock::Age(uint32_t since, int64_t now_ns) {
  const auto age = static_cast<uint32_t>(now_ns / kUnitNs) - since;
  return age > UINT32_MAX - 100 ? 0 : int64_t{age} * kUnitNs;
}

}  // namespace curg::internal
