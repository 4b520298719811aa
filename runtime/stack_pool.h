// SPDX-License-Identifier: Apache-2.0
//
// StackPool: task stacks, cut from large reserved mappings.
//
// A slab is one mapping of equal slots, reserved without charge (MAP_NORESERVE) and never made of
// huge pages, which would turn a task that touched 4 KiB into one of 2 MiB. The kernel commits
// page by page. A guard page lies below each slot, put there when the slot is first used, together
// with those of the slots to be used next (for one alone it takes twice as long); it also makes the
// distance of two slots no power of two, as else the hot ends of all stacks would share a few sets
// of the caches.
//
// Credit and slot. Starting a task must fail at the spawner, not later when the task first runs;
// but its stack is bound only then, so that a storm of spawns does not touch fresh pages. So a
// spawn takes a
// *credit* (the right to one slot), and the first run turns it into a *slot*.
//
// Invariant  free slots in the pool == credits in the pool + credits handed out and not yet turned
//            into slots. So TakeSlot by the holder of a credit always finds one.
//
// A free slot is *warm* (its last task's memory is still there) or *cold*. Warm ones are taken
// first, the last returned before all others; cold ones from the slab mapped first, so that the
// others become empty again. An empty slab is mapped anew in place: that gives its page tables
// back, half a kilobyte a slot, and whoever looks at an ended task's stack late still finds memory
// there.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "runtime/page_allocator.h"
#include "runtime/stack_bounds.h"
#ifdef CURG_MODEL_LOCK  // see spin_lock.h
#include CURG_MODEL_LOCK
#endif

namespace curg::internal {

// One stack: the guard page, then the memory to use.
struct StackSlot {
  static constexpr size_t kGuardBytes = 4096;

  char* base = nullptr;  // of the guard page, which the usable memory follows
  size_t size = 0;       // of the usable memory

  explicit operator bool() const { return base != nullptr; }
  StackBounds usable() const {
    const uintptr_t low = reinterpret_cast<uintptr_t>(base) + kGuardBytes;
    return {low, low + size};
  }
  // The slot whose usable memory is `usable`.
  static StackSlot Of(StackBounds usable) {
    return {reinterpret_cast<char*>(usable.low) - kGuardBytes, usable.size()};
  }
};

struct StackPoolStats {
  size_t slots = 0;          // in all slabs
  size_t in_pool = 0;        // free, not in a cache
  size_t resident = 0;       // of those in the pool, the ones that may still have memory
  size_t unguarded = 0;      // in use or free, whose guard the kernel refused
  bool guard_pages = false;  // guards are mappings (mprotect), as the kernel has no
                             // MADV_GUARD_INSTALL
};

// All slots of one size.
// Thread-safe.
class StackPool {
 public:
  // `slot_size` is a multiple of the page size. At most `slots_max` slots (0: no limit).
  StackPool(size_t slot_size, size_t slots_max);
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  // Takes up to `wanted` credits and at least one, reserving a further slab when there is none.
  // RESOURCE_EXHAUSTED: the limit is reached, or the kernel refuses address space.
  // Blocks: the thread, for a mapping.
  absl::Status TakeCredits(size_t wanted, size_t* taken);
  void ReturnCredits(size_t count);

  // Turns a credit of the caller's into a slot with its guard in place.
  StackSlot TakeSlot();
  // Gives a slot back with its credit. Its memory stays resident until TrimUnused.
  void ReturnSlot(StackSlot slot) { ReturnSlots({&slot.base, 1}); }
  // The same for many, by their bases.
  void ReturnSlots(std::span<char* const> bases);

  // Gives memory back to the kernel: that of slots which were free all the time since the last
  // call, except of `keep` of them. True: more than `keep` are left for the next call to look at.
  // Blocks: the thread, about a microsecond a slot; others wait for a few dozen of them at most.
  bool TrimUnused(size_t keep);

  // Whether the number of slots has a limit: then caches keep none back, so that the limit is
  // exact.
  bool limited() const { return slots_max_ != 0; }
  size_t slot_size() const { return slot_size_; }

  StackPoolStats stats();

 private:
  static constexpr size_t kSlabSlotsMax = 256;
  // The more at once, the less each takes (16: 580 ns, 64: 490), but their page tables have memory.
  static constexpr size_t kGuardsAtOnce = 64;
  static constexpr size_t kGuardsAtOnceFirst = 16;  // a slab's first ones: most programs' only ones
  using SlotSet = std::array<uint64_t, kSlabSlotsMax / 64>;

  struct Slab {
    char* base = nullptr;
    uint32_t slots = 0;
    uint32_t cold = 0;       // of its slots
    uint32_t unguarded = 0;  // of its slots
    bool touched = false;    // since it was mapped
    SlotSet is_cold = {};
    SlotSet is_guarded = {};
  };

  size_t warm() const { return warm_.size() - warm_begin_; }  // with lock_ held

  // All with lock_ held.
  absl::Status AddSlab();
  size_t TakeCold(Slab& slab);
  void TrimSlot(char* base);
  void RemapEmpty(Slab& slab);

  size_t TakeGuards(Slab& slab, size_t number, std::span<char*, kGuardsAtOnce> pages);

  // Without it.
  size_t InstallGuards(std::span<char* const> pages);
  bool InstallGuard(char* page);

  const size_t slot_size_;  // without the guard
  const size_t slots_max_;
  const size_t slab_slots_;
  const size_t slab_bytes_;  // guards included

  // relaxed, both: set once, and only save refused calls
  std::atomic<bool> guard_pages_{false};
  std::atomic<bool> guards_one_by_one_{false};
#ifdef CURG_MODEL_LOCK
  using Lock = model::ModelLock;
#else
  using Lock = std::mutex;
#endif
  Lock lock_;  // may be held for a mapping; caches visit it once a batch
  // All below is guarded by lock_.
  // Bases of the warm slots, those from warm_begin_ on; used last is taken first.
  std::vector<char*, PageAllocator<char*>> warm_;
  size_t warm_begin_ = 0;  // not 0 only while TrimUnused runs
  size_t warm_low_ = 0;    // the least there were since the last TrimUnused
  std::vector<Slab> slabs_;
  std::vector<uint32_t> by_address_;  // indices of slabs_
  size_t first_cold_ = 0;             // no slab before this one has a cold slot
  size_t cold_ = 0;                   // slots
  size_t credits_ = 0;
  size_t slots_ = 0;
  size_t unguarded_ = 0;
};

// A processor's share of the default pool. Owner only: the worker that has the processor.
//
// Each slot in the cache carries its own credit; credits_ counts those without a slot.
class StackCache {
 public:
  explicit StackCache(StackPool& pool) : pool_(pool), batch_(pool.limited() ? 1 : kBatch) {}
  ~StackCache() { Flush(); }

  // For a spawn: a credit, or at once a slot that is still warm from its last task (then *slot is
  // set).
  absl::Status Reserve(StackSlot* slot);
  // Undoes Reserve.
  void Unreserve(StackSlot slot);
  // For a first run: turns the task's credit into a slot.
  StackSlot Bind();
  // At a task's end.
  void Release(StackSlot slot);
  // Whether Bind has a slot at hand that is still warm from its last task.
  bool HasSlot() const { return count_ > 0; }
  bool Empty() const { return count_ == 0 && credits_ == 0; }
  // Returns everything to the pool.
  void Flush();

 private:
  static constexpr size_t kSlots = 64;  // 64 warm stacks are 256 KiB of touched memory a processor
  static constexpr size_t kBatch = 32;  // one visit to the pool's lock pays for this many

  StackPool& pool_;
  const size_t batch_;               // credits taken at a time
  std::array<char*, kSlots> slots_;  // bases
  size_t count_ = 0;
  size_t credits_ = 0;
};

// The size of slot that serves a task asking for `stack_size` bytes of stack.
// INVALID_ARGUMENT: too small to run anything, or beyond reason.
absl::Status SlotSizeFor(size_t stack_size, size_t* slot_size);

}  // namespace curg::internal
