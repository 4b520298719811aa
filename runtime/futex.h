// SPDX-License-Identifier: Apache-2.0
//
// The futex system call, which neither the standard library nor abseil offers with a deadline on a
// plain 32-bit word (std::atomic::wait has none).
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <limits>

namespace curg::internal {

// Sleeps while `word` is `expected`, until woken or `deadline` (CLOCK_MONOTONIC nanoseconds; the
// greatest value: none). May return early. False: the deadline has passed. Blocks: the thread.
inline bool FutexWait(std::atomic<uint32_t>& word, uint32_t expected,
                      int64_t deadline = std::numeric_limits<int64_t>::max()) {
  const bool forever = deadline == std::numeric_limits<int64_t>::max();
  deadline = std::max<int64_t>(deadline, 0);  // the kernel refuses what lies before its clock's
                                              // start
  timespec until = {.tv_sec = deadline / 1'000'000'000, .tv_nsec = deadline % 1'000'000'000};
  // FUTEX_WAIT_BITSET is the form with an absolute deadline.
  const long result = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected,
                              forever ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
  return !(result == -1 && errno == ETIMEDOUT);
}

// Wakes up to `count` sleepers. The word may be gone already: then at worst somebody else returns
// early.
// Async-signal-safe but for errno. Blocks: nothing.
inline void FutexWake(std::atomic<uint32_t>& word, int count = 1) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

}  // namespace curg::internal
