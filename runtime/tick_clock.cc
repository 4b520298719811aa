// SPDX-License-Identifier: Apache-2.0
#include "runtime/tick_clock.h"

#include <cpuid.h>

#include <fstream>
#include <string>

#include "runtime/monotonic_clock.h"

namespace curg::internal {
namespace {

constexpr int64_t kCalibrationNs = 200'000;  // reading the two clocks takes 50 ns: 0.03 % off

bool TicksAreInvariant() {
  unsigned int a, b, c, d;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d >> 8 & 1) != 0;
}

// The file is short, and there from the start.
bool KernelGoesByTicks() {
  std::ifstream file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  std::string name;
  return file >> name && name == "tsc";
}

struct Reading {
  uint64_t ticks;
  int64_t ns;
};

// Both clocks at one instant: of some attempts the one with the least between the two reads of the
// counter.
Reading ReadBoth() {
  Reading best = {};
  uint64_t least = UINT64_MAX;
  for (int i = 0; i < 5; ++i) {
    const uint64_t before = __builtin_ia32_rdtsc();
    const int64_t ns = RealNow();
    const uint64_t after = __builtin_ia32_rdtsc();
    if (after - before >= least) continue;
    least = after - before;
    best = {.ticks = before + (after - before) / 2, .ns = ns};
  }
  return best;
}

}  // namespace

std::atomic<bool> TickClock::uses_monotonic_{false};
std::atomic<uint64_t> TickClock::ns_per_tick_{0};
std::atomic<bool> TickClock::kernels_{false};

uint64_t TickClock::MonotonicTicks() { return static_cast<uint64_t>(RealNow()); }

void TickClock::Calibrate() {
  static const bool calibrated = [] {
    if (!TicksAreInvariant()) {
      uses_monotonic_.store(true, std::memory_order_relaxed);
      ns_per_tick_.store(uint64_t{1} << 32, std::memory_order_relaxed);
      return true;
    }
    const Reading begin = ReadBoth();
    while (RealNow() - begin.ns < kCalibrationNs) __builtin_ia32_pause();
    const Reading end = ReadBoth();
    const auto ns = static_cast<unsigned __int128>(end.ns - begin.ns) << 32;
    ns_per_tick_.store(static_cast<uint64_t>(ns / (end.ticks - begin.ticks)),
                       std::memory_order_relaxed);
    kernels_.store(KernelGoesByTicks(), std::memory_order_relaxed);
    return true;
  }();
  static_cast<void>(calibrated);
}

}  // namespace curg::internal
