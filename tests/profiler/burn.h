// SPDX-License-Identifier: Apache-2.0
//
// Ways to use a known amount of CPU.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

namespace curg::internal {

inline std::chrono::nanoseconds CpuClock(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

inline std::chrono::nanoseconds ThreadCpu() { return CpuClock(CLOCK_THREAD_CPUTIME_ID); }

// Computes until the calling thread has used that much more CPU.
[[gnu::noinline]] inline void BurnCpu(std::chrono::nanoseconds cpu) {
  const std::chrono::nanoseconds end = ThreadCpu() + cpu;
  volatile uint64_t sink = 0;
  while (ThreadCpu() < end) {
    for (int i = 0; i < 2000; ++i) sink = sink + static_cast<uint64_t>(i);
  }
}

// Burns CPU, some milliseconds at a time, until `condition` holds: how often the kernel's tick
// meets a thread that others interrupt is a matter of luck. False: not within five seconds of CPU.
template <typename Condition>
bool BurnCpuUntil(Condition condition) {
  for (int i = 0; i < 1000; ++i) {
    BurnCpu(std::chrono::milliseconds(5));
    if (condition()) return true;
  }
  return false;
}

// As BurnCpu, by nothing but looks at the clock, so that it ends within a microsecond. Returns how
// much it was.
inline std::chrono::nanoseconds BurnCpuClosely(std::chrono::nanoseconds cpu) {
  const std::chrono::nanoseconds begin = ThreadCpu();
  std::chrono::nanoseconds used;
  while ((used = ThreadCpu() - begin) < cpu) {
  }
  return used;
}

// As BurnCpu, below `depth` more frames.
[[gnu::noinline]] inline void BurnCpuDeep(int depth, std::chrono::nanoseconds cpu) {
  if (depth == 0) {
    BurnCpu(cpu);
  } else {
    BurnCpuDeep(depth - 1, cpu);
  }
  asm volatile("" ::: "memory");  // no tail call: the frame must stay
}

}  // namespace curg::internal
