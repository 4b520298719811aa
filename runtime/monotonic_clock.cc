// SPDX-License-Identifier: Apache-2.0
#include "runtime/monotonic_clock.h"

#include <time.h>

namespace curg::internal {
namespace {

constinit thread_local const std::atomic<int64_t>* g_virtual_now = nullptr;

// Never inlined, with a barrier: a task's thread may be another one at the next call.
__attribute__((noinline)) const std::atomic<int64_t>* ThreadClock() {
  asm volatile("" ::: "memory");
  return g_virtual_now;
}

}  // namespace

int64_t RealNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int64_t MonotonicNow() {
  const std::atomic<int64_t>* const clock = ThreadClock();
  // relaxed: its worker's own
  return clock == nullptr ? RealNow() : clock->load(std::memory_order_relaxed);
}

void SetThreadClock(const std::atomic<int64_t>* now) { g_virtual_now = now; }

bool HasThreadClock() { return ThreadClock() != nullptr; }

}  // namespace curg::internal
