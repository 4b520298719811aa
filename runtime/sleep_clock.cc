// SPDX-License-Identifier: Apache-2.0
#include "runtime/sleep_clock.h"

#include "runtime/monotonic_clock.h"
#include "runtime/tick_clock.h"

namespace curg::internal {
namespace {

// So long a reading is carried on. The two clocks' paces differ by less than a 32th: the kernel
// corrects its own by a 2000th at most, and TickClock knows the counter's to a 3000th.
constexpr int64_t kFreshNs = 16'000;
constexpr int64_t kPaceError = 32;
// A thread that was put aside between its readings of the two clocks takes at least so long.
constexpr int64_t kAtOnceNs = SleepClock::kLateNs / 4;
static_assert(kFreshNs / kPaceError + kAtOnceNs < SleepClock::kLateNs);

// CLOCK_MONOTONIC was `ns` when the counter was `ticks`, or less than kAtOnceNs later.
struct Reading {
  uint64_t ticks = 0;
  int64_t ns = 0;
  bool usable = false;
};

constinit thread_local Reading g_reading;

int64_t Read(Reading& reading) {
  reading.usable = false;
  if (!TickClock::KernelGoesByIt() || HasThreadClock()) return MonotonicNow();
  const uint64_t before = TickClock::Now();
  const int64_t ns = RealNow();
  const uint64_t after = TickClock::Now();
  reading = {.ticks = before, .ns = ns, .usable = TickClock::ToNs(after - before) < kAtOnceNs};
  return ns;
}

}  // namespace

// Never inlined, with a barrier: a task's thread may be another one at the next call.
__attribute__((noinline)) int64_t SleepClock::Now() {
  asm volatile("" ::: "memory");
  Reading& reading = g_reading;
  if (reading.usable) [[likely]] {
    const int64_t age = TickClock::ToNs(TickClock::Now() - reading.ticks);
    // Unsigned: counters of two CPUs may be a little apart.
    if (static_cast<uint64_t>(age) < kFreshNs) [[likely]]
      return reading.ns + age + age / kPaceError;
  }
  return Read(reading);
}

}  // namespace curg::internal
