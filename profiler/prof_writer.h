// SPDX-License-Identifier: Apache-2.0
//
// ProfWriter: runs the sampler for as long as anybody profiles, and the writer task that empties
// the prof buffers. Chapter 4 of the life of a sample (profiler/README.md).
//
//   prof buffers --Read--> ProfWriter --Add--> ProfConsumer, ProfConsumer ...
//
// The handler never wakes the writer: waking means run queues or a system call, and a handler may
// use neither. Instead the writer sleeps no longer than a quarter of a ring takes to fill at this
// rate and depth, and never longer than 100 ms.
//
// The sampler runs at the highest rate and the greatest depth that any consumer asks for. When a
// consumer comes or goes, all threads' credit is brought level first (thread_credit.h): so what
// each gets is exactly what was used while it was there, whatever the rate was.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "profiler/exact_cpu.h"
#include "profiler/prof_consumer.h"
#include "profiler/sample_delivery.h"
#include "profiler/sampler.h"
#include "runtime/claim_waiter.h"
#include "runtime/join_handle.h"
#include "runtime/spin_lock.h"
#include "runtime/sync/mutex.h"

namespace curg::internal {

// How long the writer may sleep: a quarter of a ring of `ring_bytes`, filled with records of
// `depth_max` at `signal_hz`, but between 1 and 100 ms.
std::chrono::nanoseconds DrainPeriod(int64_t signal_hz, size_t depth_max, size_t ring_bytes);

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

// Thread-safe, from tasks and plain threads; calls wait for each other.
class ProfWriter {
 public:
  // The process's one. Never destroyed.
  static ProfWriter& Get();

  // Begins to deliver samples to `consumer`; the first one compiles the unwind tables and arms the
  // timers. Errors: the kernel refuses the handler or the engine that was asked for
  // (UNAVAILABLE, PERMISSION_DENIED ...), or another one is in use (FAILED_PRECONDITION).
  // Blocks: the thread, for milliseconds. Throws what starting a task throws; nothing runs then.
  absl::Status Add(ProfConsumer& consumer);

  // Delivers what was sampled up to now, and no more. The last one to go disarms the timers; when
  // that returns, no handler is at work and the writer task has ended.
  // Blocks: the task or the plain thread.
  CpuProfile Remove(ProfConsumer& consumer);

 private:
  struct Loop {
    StopRequest stop;
  };

  ProfWriter() = default;

  // All of these: with mutex_ held.
  absl::Status StartOrJoin(ProfConsumer& consumer);
  void Adjust();
  void StartLoop();
  void StopLoop();
  void DrainAll(bool level);
  UnseenCpu Unseen() const;
  ExactCpu ExactOf(const CpuTotals& totals) const;
  CpuProfile Take(ProfConsumer& consumer, const CpuTotals& totals);
  void Look();

  void Run(Loop& loop);

  Mutex mutex_;
  // guarded by mutex_
  SampleDelivery delivery_;
  std::shared_ptr<Loop> loop_;  // null: nobody profiles
  JoinHandle<void> task_;
};

}  // namespace curg::internal
