// SPDX-License-Identifier: Apache-2.0
//
// CoarseClock: since when a task is in its state, for dumps; one plain load, where a clock costs as
// much as several switches. Sysmon advances it every 10 ms while workers run, and a worker when it
// wakes up: so it stands still only while nothing changes.
#pragma once

#include <atomic>
#include <cstdint>

namespace curg::internal {

// Thread-safe.
class CoarseClock {
 public:
  // CLOCK_MONOTONIC in units of 10 ms, some 10 ms late at times; wraps after 497 days.
  // Async-signal-safe.
  static uint32_t Now() {
    return now_.load(std::memory_order_relaxed);  // relaxed: a number alone
  }

  // Reads the clock and shows it to all. Returns it: nanoseconds of CLOCK_MONOTONIC.
  static int64_t Advance();

  // How long ago `since` was, as of `now_ns` of CLOCK_MONOTONIC: nanoseconds, right to 20 ms.
  static int64_t Age(uint32_t since, int64_t now_ns);

 private:
  static constexpr int64_t kUnitNs = 10'000'000;

  static std::atomic<uint32_t> now_;
};

}  // namespace curg::internal
