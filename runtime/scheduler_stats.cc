// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <mutex>

#include "runtime/scheduler.h"
#include "runtime/stats.h"

namespace curg::internal {
namespace {

uint64_t AtLeastZero(int64_t n) { return static_cast<uint64_t>(std::max<int64_t>(n, 0)); }

void AddCounters(const ProcessorCounters& counters, RuntimeStats& stats) {
  stats.spawned += counters.spawned.Get();
  stats.parks += counters.parks.Get();
  stats.wakeups += counters.runnable.Get();
  stats.steals += counters.steals.Get();
  stats.tasks_stolen += counters.stolen.Get();
  stats.searches += counters.searches.Get();
  stats.sleeps += counters.sleeps.Get();
  for (size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    stats.run_latency.Add(i, counters.latency[i].Get());
  }
}

void AddStacks(const StackPoolStats& pool, RuntimeStats& stats) {
  stats.stacks += pool.slots;
  stats.stacks_in_use += pool.slots - pool.in_pool;
  stats.stacks_cached += pool.resident;
  stats.stacks_unguarded += pool.unguarded;
}

}  // namespace

// Ends are read before spawns, so that what ends meanwhile is not missing among the living.
RuntimeStats Scheduler::Stats() {
  RuntimeStats stats;
  stats.global_queue = global_.size();
  stats.tasks_runnable = stats.global_queue;
  stats.ended = ended_outside_.load(std::memory_order_relaxed);
  for (size_t i = 0; i < count(); ++i) stats.ended += processors_[i]->counters.ended.Get();
  for (size_t i = 0; i < count(); ++i) {
    Processor& processor = *processors_[i];
    AddCounters(processor.counters, stats);
    const uint64_t queued = processor.queue.size() + processor.batch.Size() +
                            (processor.batch.next() != nullptr ? 1 : 0);
    stats.run_queues.push_back(queued);
    stats.tasks_runnable += queued;
    stats.timers += processor.timers.size();
  }
  stats.workers_blocking = AtLeastZero(detached_.load(std::memory_order_relaxed));
  stats.tasks_blocking = AtLeastZero(calls_.load(std::memory_order_relaxed));
  stats.blocking_max = static_cast<uint64_t>(config_.blocking_max);
  for (size_t i = 0; i < worker_count(); ++i) {
    if (workers_[i]->in_task.load(std::memory_order_relaxed)) ++stats.tasks_running;
  }
  stats.tasks_running =
      AtLeastZero(static_cast<int64_t>(stats.tasks_running - stats.tasks_blocking));
  stats.spawned += spawned_outside_.load(std::memory_order_relaxed);
  const uint64_t readied = stats.wakeups + readied_outside_.load(std::memory_order_relaxed);
  stats.wakeups = AtLeastZero(static_cast<int64_t>(readied - stats.spawned));
  const auto alive = static_cast<int64_t>(stats.spawned - stats.ended);
  stats.tasks_parked =
      AtLeastZero(alive - static_cast<int64_t>(stats.tasks_runnable + stats.tasks_running +
                                               stats.tasks_blocking));

  stats.workers = static_cast<uint64_t>(limit());
  // relaxed, all: numbers alone
  stats.workers_idle = AtLeastZero(idle_count_.load(std::memory_order_relaxed));
  stats.workers_spinning = AtLeastZero(spinning_.load(std::memory_order_relaxed));
  stats.workers_held = AtLeastZero(held_count_.load(std::memory_order_relaxed));
  stats.blocking_queue = AtLeastZero(gate_waiting_.load(std::memory_order_relaxed));
  stats.threads = AtLeastZero(running_.load(std::memory_order_relaxed));
  stats.workers_surplus = AtLeastZero(surplus_active_.load(std::memory_order_relaxed));

  AddStacks(pool_.stats(), stats);
  std::lock_guard lock(other_pools_lock_);
  for (auto& [slot_size, pool] : other_pools_) AddStacks(pool->stats(), stats);
  return stats;
}

}  // namespace curg::internal
