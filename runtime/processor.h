// SPDX-License-Identifier: Apache-2.0
//
// Processor: the right to run tasks (Go's p), and everything that goes with it. A worker has one
// while it runs tasks, and hands it over when it cannot.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "runtime/look_pace.h"
#include "runtime/processor_counters.h"
#include "runtime/run_batch.h"
#include "runtime/run_queue.h"
#include "runtime/stack_pool.h"
#include "runtime/tag_cache.h"
#include "runtime/task_slab.h"
#include "runtime/timers.h"
#include "runtime/walk_memo.h"

namespace curg::internal {

class Worker;

struct alignas(64) Processor {
  Processor(int index, bool surplus, StackPool& pool, int timer_tick_shift)
      : index(index), surplus(surplus), timers(timer_tick_shift), stacks(pool) {}

  const int index;
  const bool surplus;  // beyond the configured number, while others are held (sysmon.h)

  // --- Shared with thieves and wakers.
  RunQueue<> queue;
  RunBatch<Task> batch;
  TimerQueue timers;
  // How many tasks it has run: if it has not moved for a while, whoever is behind this processor is
  // held.
  std::atomic<uint32_t> tick{0};
  // Set by sysmon when one task has run for long; cleared by the worker when it is back.
  std::atomic<bool> held{false};
  // Who has it. A hint for others.
  std::atomic<Worker*> worker{nullptr};
  // 0, or the number of the call of Blocking that its task is in: then whoever changes it to 0 has
  // the processor (scheduler_blocking.cc).
  std::atomic<uint64_t> blocking{0};

  // --- Owned by the worker that has the processor; others read the counters.
  ProcessorCounters counters;
  StackCache stacks;
  TaskCache tasks;
  TagCache tags;
  LookPace pace;
  uint64_t blocking_calls = 0;
  uint32_t shuffle = 0;                   // state of the choice of tasks, if there is a seed
  std::unique_ptr<WalkMemo> spawn_walks;  // made when the first spawn stack is kept
  int64_t flush_at = 0;                   // when an idle worker is to empty the caches
  uint32_t next_streak = 0;               // tasks run from the run-next slot in a row
  uint64_t id_next = 0;                   // task ids at hand: [id_next, id_limit)
  uint64_t id_limit = 0;

  // Whether tasks are queued, apart from the run-next slot. A hint for others. Thread-safe.
  bool HasQueue() const { return queue.size() > 0 || !batch.Empty(); }

  // Whether tasks have waited in the run-next slot or the batch, and none was run, for a while: the
  // worker is held. Takes a while to tell. Thread-safe.
  bool IsStale() const {
    const auto waiting = [this] { return batch.next() != nullptr || !batch.Empty(); };
    if (!waiting()) return false;
    const uint32_t before = tick.load(std::memory_order_relaxed);  // relaxed: a hint
    for (int i = 0; i < kStalePauses; ++i) __builtin_ia32_pause();
    return tick.load(std::memory_order_relaxed) == before && waiting();
  }

 private:
  // How long a run-next slot must have been left alone before a thief may have it (Go waits 3 us):
  // less would pull apart tasks that take turns on one worker.
  static constexpr int kStalePauses = 64;
};

}  // namespace curg::internal
