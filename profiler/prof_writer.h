// SPDX-License-Identifier: Apache-2.0
//
// ProfWriter: the writer task's work. Chapter 4 of the life of a sample (profiler/README.md).
//
//   prof buffers --Read--> ProfWriter --Add--> ProfMap --Take--> CpuProfile
//
// The handler never wakes the writer: waking means run queues or a system call, and a handler may
// use neither. Instead the writer sleeps no longer than a quarter of the smallest ring takes to
// fill at this rate and depth, and never longer than 100 ms.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "profiler/cpu_profile.h"
#include "profiler/mappings.h"
#include "profiler/prof_buf.h"
#include "profiler/prof_map.h"
#include "profiler/sampler.h"
#include "runtime/claim_waiter.h"
#include "runtime/spin_lock.h"

namespace curg::internal {

// How long the writer may sleep: a quarter of a ring of `ring_bytes`, filled with records of
// `depth_max` at `rate_hz`, but between 1 and 100 ms.
std::chrono::nanoseconds DrainPeriod(int64_t rate_hz, size_t depth_max, size_t ring_bytes);

// A request that one waits for and others make.
class StopRequest {
 public:
  // Thread-safe. Blocks: nothing.
  void Make();
  // True as soon as it was made; false at `deadline`. One waiter at a time.
  // Blocks: the task or the plain thread.
  bool WaitUntil(std::chrono::steady_clock::time_point deadline);

 private:
  SpinLock lock_;
  bool made_ = false;              // guarded by lock_
  ClaimWaiter* waiter_ = nullptr;  // guarded by lock_
};

// One profile, from arming to the value. Owner only: one task or plain thread, but for RequestStop.
class ProfWriter {
 public:
  struct Options {
    SamplerOptions sampler;
    size_t map_bytes_max = 32 << 20;
  };

  explicit ProfWriter(const Options& options);

  // Compiles the unwind tables and arms the timers. Blocks: the thread, for milliseconds.
  absl::Status Start();

  // Drains the buffers until a stop is requested, then disarms the timers, drains what is left, and
  // returns the profile, which holds every record that was written.
  // Requires: Start. Blocks: the task (or the plain thread).
  CpuProfile Run();

  // Lets Run end. Thread-safe. Blocks: nothing.
  void RequestStop() { stop_.Make(); }

  // Takes the records of one buffer into the profile. Run does it with every buffer there is.
  void Drain(ProfBuf& buffer);

  // The profile of what was drained so far; the writer is empty afterwards. Run ends with it.
  CpuProfile Finish();

 private:
  void DrainAll();
  void Look();
  void CountShape(StackShape shape);
  void AddSample(const ProfHeader& header, std::span<const uintptr_t> pcs);
  std::span<const uintptr_t> WithRoot(const ProfHeader& header, std::span<const uintptr_t> pcs);
  void NoteTrouble(CpuProfileQuality& quality) const;

  const Options options_;
  StopRequest stop_;
  ProfMap map_;
  MappingRecorder mappings_;
  CpuProfileQuality quality_;
  std::vector<uintptr_t> stack_;  // scratch of WithRoot
  absl::Time start_ = absl::InfinitePast();
  absl::Duration cpu_start_;
  absl::Duration cpu_end_;
  int64_t stale_start_ = 0;
};

}  // namespace curg::internal
