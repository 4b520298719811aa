// SPDX-License-Identifier: Apache-2.0
#include "runtime/spawn_stack.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <new>

#include "runtime/context.h"
#include "runtime/page_allocator.h"
#include "runtime/spin_lock.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"
#include "runtime/traceback.h"
#include "runtime/unwind_table.h"
#include "runtime/walk_cache.h"

namespace curg {
namespace internal {
namespace {

struct KeptStack {
  uint64_t hash;
  uint32_t size;
  std::array<uintptr_t, kSpawnFramesMax> pcs;
};

// Stacks by number, and numbers by hash in an open table. Both are written under the lock and read without it:
// a number is put into the table once its stack is written, and neither changes again.
struct Stacks {
  static constexpr size_t kSlots = size_t{2} * kSpawnStacksMax;

  std::array<KeptStack, kSpawnStacksMax> kept;  // [0] is no stack; no page is touched before it is used
  std::array<std::atomic<uint32_t>, kSlots> slots;
  SpinLock lock;
  uint32_t next = 1;  // guarded by lock
};

std::atomic<Stacks*> g_stacks{nullptr};
std::atomic<uint64_t> g_refused{0};

uint64_t HashOf(std::span<const uintptr_t> pcs) {
  uint64_t hash = pcs.size();
  for (const uintptr_t pc : pcs) {
    const auto product = static_cast<unsigned __int128>(hash ^ pc) * 0x9e3779b97f4a7c15;
    hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  return hash;
}

bool Is(const KeptStack& kept, uint64_t hash, std::span<const uintptr_t> pcs) {
  return kept.hash == hash && std::ranges::equal(std::span(kept.pcs).first(kept.size), pcs);
}

// The number, or 0 and the empty slot where it belongs.
uint32_t Find(const Stacks& stacks, uint64_t hash, std::span<const uintptr_t> pcs, size_t* slot) {
  for (size_t at = hash % Stacks::kSlots;; at = (at + 1) % Stacks::kSlots) {
    const uint32_t number = stacks.slots[at].load(std::memory_order_acquire);  // acquire: pairs with Add()
    *slot = at;
    if (number == 0 || Is(stacks.kept[number], hash, pcs)) return number;
  }
}

uint32_t Add(Stacks& stacks, uint64_t hash, std::span<const uintptr_t> pcs) {
  std::lock_guard lock(stacks.lock);
  size_t slot;
  if (const uint32_t number = Find(stacks, hash, pcs, &slot); number != 0) return number;
  if (stacks.next == kSpawnStacksMax) {
    g_refused.fetch_add(1, std::memory_order_relaxed);
    return 0;
  }
  KeptStack& kept = stacks.kept[stacks.next];
  kept.hash = hash;
  kept.size = static_cast<uint32_t>(pcs.size());
  std::ranges::copy(pcs, kept.pcs.begin());
  stacks.slots[slot].store(stacks.next, std::memory_order_release);  // release: pairs with Find()
  return stacks.next++;
}

StackBounds StackHere() {
  const ThreadState& thread = ThisThread();
  const Task* const task = thread.current.load(std::memory_order_relaxed);  // relaxed: see ThreadState
  return task != nullptr ? task->context.stack() : thread.system_stack;
}

}  // namespace

constinit std::atomic<bool> g_keep_spawn_stacks{false};

__attribute__((noinline)) uint32_t RecordSpawnStack(WalkCache* walks) {
  constexpr size_t kOwn = 2;  // frames that are not of interest: this one and its caller's
  Stacks* const stacks = g_stacks.load(std::memory_order_acquire);  // acquire: pairs with KeepSpawnStacks()
  std::array<uintptr_t, kSpawnFramesMax + kOwn> pcs;
  const StackBounds bounds = StackHere();
  const Registers here = RegistersHere();
  const Traceback walk = walks != nullptr ? walks->Walk(here, bounds, pcs) : WalkStack(here, bounds, pcs);
  if (walk.depth <= kOwn) return 0;
  const auto callers = std::span<const uintptr_t>(pcs).subspan(kOwn, walk.depth - kOwn);
  const uint64_t hash = HashOf(callers);
  size_t slot;
  const uint32_t number = Find(*stacks, hash, callers, &slot);
  return number != 0 ? number : Add(*stacks, hash, callers);
}

std::span<const uintptr_t> SpawnStackOf(uint32_t number) {
  const Stacks* const stacks = g_stacks.load(std::memory_order_acquire);  // acquire: as above
  if (number == 0 || stacks == nullptr) return {};
  const KeptStack& kept = stacks->kept[number];
  return {kept.pcs.data(), kept.size};
}

uint64_t SpawnStacksRefused() { return g_refused.load(std::memory_order_relaxed); }

}  // namespace internal

void KeepSpawnStacks(bool on) {
  if (on) {
    static const bool made = [] {
      (void)internal::RefreshUnwindTables();
      // release: pairs with RecordSpawnStack()
      auto* const memory = internal::PageAllocator<internal::Stacks>().allocate(1);  // for ever
      internal::g_stacks.store(::new (memory) internal::Stacks, std::memory_order_release);
      return true;
    }();
    (void)made;
  }
  // release: whoever sees the switch on sees the table
  internal::g_keep_spawn_stacks.store(on, std::memory_order_release);
}

}  // namespace curg
