// SPDX-License-Identifier: Apache-2.0
//
// ThreadSampler: what one profiled thread has: a prof buffer, and the word by which its signals are
// recognised. Chapter 1 of the life of a sample (profiler/README.md) keeps them; chapter 2, the
// handler, finds them here.
//
// A timer's signal carries a 64-bit ticket: a magic number, the index of the thread's record in the
// table, and how often that record had been armed. A signal may arrive after its timer was deleted,
// so the handler must be able to look at the record of any ticket ever given out: records are
// type-stable, that is, reused and never freed.
//
// Protocol  between the handler H of a record and whoever disarms it, D:
//             H: handlers += 1; armed_as == ticket? then use the buffer; handlers -= 1
//             D: delete the timer; armed_as = 0; wait until handlers == 0
//           Both sides use sequentially consistent operations on both words, so either H sees the
//           0, or D sees H. After the wait no handler uses the buffer until the record is armed
//           again. A count, not a flag: a late signal of the thread that had the record before may
//           meet a timely one of the thread that has it now.
// Rejected  a hazard pointer or an epoch in the handler: one record a thread makes the count
//           uncontended, and the two locked instructions cost less than any lookup.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <sys/types.h>

#include "profiler/cpu_engine.h"
#include "profiler/prof_buf.h"
#include "profiler/sample_source.h"
#include "profiler/thread_credit.h"
#include "runtime/rule_cache.h"
#include "runtime/stack_bounds.h"

namespace curg::internal {

struct ThreadSampler {
  enum class State : uint8_t {
    kFree,   // in nobody's use
    kArmed,  // the thread's signals come; the handler writes the buffer, the writer task reads it
    kEnded,  // no handler uses the buffer any more; the writer task has yet to read what is left
  };

  // Shared with the handler; see the protocol above.
  std::atomic<uint64_t> armed_as{0};  // the ticket of the timer that is armed, or 0
  std::atomic<int32_t> handlers{0};   // handlers that are looking at this record
  // Foreign threads: the handler notes a stack pointer whose stack is unknown, the writer task
  // looks it up and publishes where that stack is. Relaxed: each is one word that makes sense
  // alone.
  std::atomic<uintptr_t> unknown_sp{0};
  std::atomic<uint64_t> stack{0};  // as PackStack() gives it; 0: unknown

  // Written before armed_as or state say that it is there (release), so plain.
  ProfBuf* buffer = nullptr;
  RuleCache* rules = nullptr;  // the handler's; it comes and goes with the buffer
  pid_t tid = 0;
  bool known = false;  // to the runtime
  CpuEngine engine = CpuEngine::kTimer;
  bool timed = true;  // it counts time, not events
  // The runtime's meters (exact_cpu.h) count it: true of workers from the start, of others once
  // that is seen.
  bool metered = false;

  // The writer task's, once state says that it is there.
  int64_t period = 0;     // what one period of a signal weighs
  int64_t varied_at = 0;  // what was credited when the period was last changed
  ThreadCredit credit;

  // Guarded by the sampler's lock; final_count is also the writer's once state says kEnded.
  std::unique_ptr<SampleSource> source;
  std::optional<int64_t> final_count;

  // kArmed -> kEnded by whoever disarms, kEnded -> kFree by the writer task alone.
  std::atomic<State> state{State::kFree};
  uint32_t index = 0;  // in the table; never changes
};

// A stack's bounds in one word: number of the first page, then how many pages.
inline uint64_t PackStack(StackBounds bounds) {
  return (bounds.low >> 12) << 28 | ((bounds.high - bounds.low) >> 12 & ((1u << 28) - 1));
}
// Async-signal-safe.
[[gnu::always_inline]] inline StackBounds UnpackStack(uint64_t packed) {
  const uintptr_t low = packed >> 28 << 12;
  return {low, low + ((packed & ((1u << 28) - 1)) << 12)};
}

// The records of all threads there ever were.
class ThreadSamplerTable {
 public:
  static constexpr size_t kChunk = 256;
  static constexpr size_t kChunks = 256;
  static constexpr uint64_t kMagic = 0xc519;  // top 16 bits of a ticket

  // The ticket of the `generation`th arming of record `index`.
  static constexpr uint64_t Ticket(uint32_t index, uint32_t generation) {
    return kMagic << 48 | uint64_t{index & 0xffff} << 32 | generation;
  }
  // Async-signal-safe.
  [[gnu::always_inline]] static bool IsTicket(uint64_t word) { return word >> 48 == kMagic; }

  // The record a ticket names, or null if there is none.
  // Async-signal-safe.
  [[gnu::always_inline]] ThreadSampler* Find(uint64_t ticket) const {
    const uint32_t index = ticket >> 32 & 0xffff;
    // acquire: pairs with the release in At()
    ThreadSampler* const chunk = chunks_[index / kChunk].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : &chunk[index % kChunk];
  }

  // Record `index`, made if need be; null beyond the last one.
  // Not async-signal-safe: allocates. One caller at a time.
  ThreadSampler* At(size_t index);

 private:
  std::atomic<ThreadSampler*> chunks_[kChunks] = {};
};
static_assert(ThreadSamplerTable::kChunk * ThreadSamplerTable::kChunks <= 0x10000,
              "a ticket has 16 bits for the index");

// The process's one table.
extern constinit ThreadSamplerTable thread_samplers;

// The ticket of each descriptor that a perf event has or had: its signals name the descriptor.
// Another event may have the number by the time a late one arrives, so the handler also asks
// whether the record is its own thread's.
class DescriptorTickets {
 public:
  static constexpr size_t kChunk = 1024;
  static constexpr size_t kChunks = 1024;

  // 0: none.
  // Async-signal-safe.
  [[gnu::always_inline]] uint64_t Get(int fd) const {
    const auto index = static_cast<size_t>(fd);
    if (fd < 0 || index >= kChunk * kChunks) return 0;
    // acquire: pairs with the release in Set()
    const std::atomic<uint64_t>* const chunk =
        chunks_[index / kChunk].load(std::memory_order_acquire);
    // relaxed: the record says whether it is armed under that ticket
    return chunk == nullptr ? 0 : chunk[index % kChunk].load(std::memory_order_relaxed);
  }

  // False: there is no room for a descriptor that high.
  // Not async-signal-safe: allocates. One caller at a time.
  bool Set(int fd, uint64_t ticket);

 private:
  std::atomic<std::atomic<uint64_t>*> chunks_[kChunks] = {};
};

extern constinit DescriptorTickets descriptor_tickets;

}  // namespace curg::internal
