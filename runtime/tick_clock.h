// SPDX-License-Identifier: Apache-2.0
//
// TickClock: the cheapest clock there is, for stamps in hot paths: the time-stamp counter (about 20
// ns, also from a virtual machine), or CLOCK_MONOTONIC where that counter stands still or changes
// its pace.
#pragma once

#include <atomic>
#include <cstdint>

namespace curg::internal {

// Thread-safe. Async-signal-safe once calibrated.
class TickClock {
 public:
  // Finds out the pace, once for the process, against CLOCK_MONOTONIC. Until then ticks are worth
  // nothing.
  // Blocks: the thread, for a fifth of a millisecond the first time (no sleep).
  static void Calibrate();

  // Ticks since some instant, the same for all threads.
  static uint64_t Now() {
    // relaxed, here and below: written once before any thread that asks is started
    if (uses_monotonic_.load(std::memory_order_relaxed)) [[unlikely]]
      return MonotonicTicks();
    return __builtin_ia32_rdtsc();
  }

  // Whether CLOCK_MONOTONIC is made of the time-stamp counter: then the kernel has found out that
  // the counters of all CPUs agree. False until calibrated.
  static bool KernelGoesByIt() { return kernels_.load(std::memory_order_relaxed); }

  // What so many ticks are in nanoseconds; up to some centuries.
  static int64_t ToNs(uint64_t ticks) {
    const auto product =
        static_cast<unsigned __int128>(ticks) * ns_per_tick_.load(std::memory_order_relaxed);
    return static_cast<int64_t>(product >> 32);
  }

 private:
  static uint64_t MonotonicTicks();

  static std::atomic<bool> uses_monotonic_;
  static std::atomic<uint64_t> ns_per_tick_;  // times 2^32
  static std::atomic<bool> kernels_;
};

}  // namespace curg::internal
