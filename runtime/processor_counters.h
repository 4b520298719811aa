// SPDX-License-Identifier: Apache-2.0
//
// ProcessorCounters: what a processor's owner counts as it goes, for others to read at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "runtime/latency_histogram.h"
#include "runtime/task.h"
#include "runtime/tick_clock.h"

namespace curg::internal {

// Written by one thread at a time, without a read-modify-write: the hand-over of a processor orders
// them.
class OwnedCounter {
 public:
  // Returns the sum.
  uint64_t Add(uint64_t n = 1) {
    const uint64_t sum = value_.load(std::memory_order_relaxed) + n;
    value_.store(sum, std::memory_order_relaxed);
    return sum;
  }
  // Thread-safe. relaxed, all three: numbers alone; nothing else is read by them.
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Owner only, except for Get: the worker that has the processor.
struct alignas(64) ProcessorCounters {
  // One transition in so many is timed: a stamp costs as much as two switches.
  static constexpr uint64_t kLatencySample = 64;
  // A stamp counts 64 ticks: it fits into the task's hot cache line, wraps after 105 s at 2.6 GHz.
  static constexpr int kStampShift = 6;

  OwnedCounter spawned;
  OwnedCounter ended;
  OwnedCounter parks;
  OwnedCounter runnable;  // times a task became runnable here
  OwnedCounter steals;
  OwnedCounter stolen;    // tasks
  OwnedCounter searches;  // times a worker began to spin
  OwnedCounter sleeps;    // times a worker went to sleep
  std::array<OwnedCounter, LatencyHistogram::kBuckets> latency;

  // `task` is about to become runnable.
  void OnRunnable(Task& task) {
    if (runnable.Add() % kLatencySample == 0) [[unlikely]]
      Stamp(task);
  }

  // `task` is about to run.
  void OnRunning(Task& task) {
    if (task.runnable_stamp != 0) [[unlikely]]
      Observe(task);
  }

  static void Stamp(Task& task) {
    task.runnable_stamp = static_cast<uint32_t>(TickClock::Now() >> kStampShift) | 1;
  }

 private:
  void Observe(Task& task) {
    const uint32_t now = static_cast<uint32_t>(TickClock::Now() >> kStampShift) | 1;
    const auto waited = static_cast<int32_t>(now - task.runnable_stamp);
    task.runnable_stamp = 0;
    if (waited < 0) return;  // clocks of two CPUs a little apart; or more than half a minute
    const auto ns = TickClock::ToNs(static_cast<uint64_t>(waited) << kStampShift);
    latency[LatencyHistogram::BucketOf(static_cast<uint64_t>(ns))].Add();
  }
};

}  // namespace curg::internal
