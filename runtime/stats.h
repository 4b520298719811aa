// SPDX-License-Identifier: Apache-2.0
//
// RuntimeStats: what a runtime is doing, in numbers, at any time. Always on; it costs the runtime
// some plain stores a switch.
//
//   curg::RuntimeStats stats = curg::ReadStats();   // on a task; elsewhere Runtime::Stats()
//   std::cout << stats.tasks_parked << " tasks wait; " << stats.run_latency.p99_ns() << " ns
//   p99\n";
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/latency_histogram.h"

namespace curg {

// Counts since the runtime's start, and states at the time of reading. Everything is read one after
// the other while the runtime goes on: each count is exact and never decreases; states are off by
// what happened meanwhile (a task on its way from one worker to another may be missed or seen
// twice) and never negative. Where nothing moves, they are exact.
struct RuntimeStats {
  // --- Tasks.
  uint64_t spawned = 0;
  uint64_t ended = 0;
  uint64_t tasks_running = 0;   // current on a worker
  uint64_t tasks_runnable = 0;  // in a run queue
  uint64_t tasks_blocking = 0;  // in Blocking, at most blocking_max
  uint64_t tasks_parked = 0;    // all others that have not ended

  // --- Run queues. `run_queues` has one element for each processor: its ring and its run-next
  // slot.
  std::vector<uint64_t> run_queues;
  uint64_t global_queue = 0;

  // --- Transitions.
  uint64_t parks = 0;
  uint64_t wakeups = 0;  // tasks made runnable after a park or a yield
  uint64_t steals = 0;
  uint64_t tasks_stolen = 0;
  uint64_t searches = 0;  // times a worker out of work began to look at others
  uint64_t sleeps = 0;    // times one found nothing and went to sleep

  // --- Workers.
  uint64_t workers = 0;           // as configured
  uint64_t workers_idle = 0;      // asleep
  uint64_t workers_spinning = 0;  // searching for work
  uint64_t workers_held = 0;      // whose task has run for 10 ms and more; 0 with virtual time or a
                                  // schedule seed
  uint64_t workers_surplus = 0;   // started in place of held ones
  uint64_t workers_blocking = 0;  // of tasks_blocking, those others run in place of
  uint64_t blocking_max = 0;      // as configured: RuntimeOptions::blocking_max
  uint64_t blocking_queue = 0;    // tasks that wait until there are fewer in Blocking
  uint64_t threads = 0;           // of all these workers, those that wait to be needed included

  // --- Timers that are armed: sleeps, deadlines.
  uint64_t timers = 0;

  // --- Stacks of all sizes.
  uint64_t stacks = 0;            // address space reserved for so many
  uint64_t stacks_in_use = 0;     // bound to tasks, or at hand in a processor's cache
  uint64_t stacks_cached = 0;     // free, their memory kept
  uint64_t stacks_unguarded = 0;  // without a guard page: the kernel refused one

  // --- From runnable to running, of one transition in 64.
  LatencyHistogram run_latency;
};

// The stats of the calling task's runtime; all zero on a plain thread.
// Thread-safe. Not async-signal-safe: takes locks for some instructions. Blocks: nothing.
RuntimeStats ReadStats();

}  // namespace curg
