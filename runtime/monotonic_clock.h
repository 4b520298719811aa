// SPDX-License-Identifier: Apache-2.0
//
// The clock that deadlines and timers go by: CLOCK_MONOTONIC, but on the workers of a runtime with
// virtual time (RuntimeOptions::virtual_time) that time.
#pragma once

#include <atomic>
#include <cstdint>

namespace curg::internal {

// Nanoseconds. Thread-safe.
int64_t MonotonicNow();

// CLOCK_MONOTONIC, wherever called. Thread-safe.
int64_t RealNow();

// From now on this thread's MonotonicNow is `*now`; null: the real one.
void SetThreadClock(const std::atomic<int64_t>* now);
// Whether it is another than the real one.
bool HasThreadClock();

}  // namespace curg::internal
