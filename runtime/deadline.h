// SPDX-License-Identifier: Apache-2.0
//
// Deadline: the moment at which a blocking call gives up.
#pragma once

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>

#include "runtime/monotonic_clock.h"

namespace curg {

// A point on the steady clock (not before its zero), or never. Any clock's time_point converts to
// one; a duration does not by itself, so that ReceiveUntil(10ms) cannot be mistaken for a moment:
// say Deadline::After(10ms).
// Thread-compatible, as an integer.
class Deadline {
 public:
  static constexpr Deadline Never() { return Deadline(kNever); }

  // `duration` from now, or never if that is centuries away.
  static Deadline After(std::chrono::nanoseconds duration) {
    int64_t when;
    if (__builtin_add_overflow(Now(), duration.count(), &when)) {
      when = duration.count() > 0 ? kNever : 0;
    }
    return Deadline(std::max<int64_t>(when, 0));
  }

  // For a clock other than the steady one: as far from now as it is on that clock at this moment.
  template <typename Clock, typename Duration>
  Deadline(std::chrono::time_point<Clock, Duration> when)  // NOLINT: implicit on purpose
      : Deadline(
            After(Clamp(Wide(when.time_since_epoch()) - Wide(Clock::now().time_since_epoch())))) {}
  template <typename Duration>
  constexpr Deadline(std::chrono::time_point<std::chrono::steady_clock, Duration> when)  // NOLINT
      : when_(std::max<int64_t>(Clamp(when.time_since_epoch()).count(), 0)) {}

  constexpr bool is_never() const { return when_ == kNever; }
  // CLOCK_MONOTONIC nanoseconds; the greatest value is never.
  constexpr int64_t nanoseconds() const { return when_; }

  friend constexpr auto operator<=>(Deadline, Deadline) = default;

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // Wide and exact enough for the difference of any two moments.
  using Wide = std::chrono::duration<long double, std::nano>;

  explicit constexpr Deadline(int64_t when) : when_(when) {}

  static int64_t Now() { return internal::MonotonicNow(); }

  // To nanoseconds without overflow, whatever the unit.
  template <typename Rep, typename Period>
  static constexpr std::chrono::nanoseconds Clamp(std::chrono::duration<Rep, Period> duration) {
    using std::chrono::nanoseconds;
    if (Wide(duration) >= Wide(nanoseconds::max())) return nanoseconds::max();
    if (Wide(duration) <= Wide(nanoseconds::min())) return nanoseconds::min();
    return std::chrono::duration_cast<nanoseconds>(duration);
  }

  int64_t when_;
};

// The steady clock's time; on a runtime with virtual time (RuntimeOptions::virtual_time) that time.
inline std::chrono::steady_clock::time_point Now() {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(internal::MonotonicNow()));
}

}  // namespace curg
