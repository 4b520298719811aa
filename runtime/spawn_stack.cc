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
#include "runtime/walk_memo.h"

namespace curg {
namespace internal {
namespace {

struct KeptStack {
  uint64_t hash;
  uint32_t size;
  uint32_t spawner;  // number of the stack that spawned the task which this is of, 0: none
  uint32_t chain;    // this one and those that `spawner` leads to
  std::array<uintptr_t, kSpawnFramesMax> pcs;
};

// Stacks by number, and numbers by hash in an open table. Both are written under the lock and read
// without it: a number is put into the table once its stack is written, and neither changes again.
struct Stacks {
  static constexpr size_t kSlots = size_t{2} * kSpawnStacksMax;

  std::array<KeptStack, kSpawnStacksMax> kept;  // [0] is no stack; no page is touched before it is
                                                // used
  std::array<std::atomic<uint32_t>, kSlots> slots;
  SpinLock lock;
  uint32_t next = 1;  // guarded by lock
};

std::atomic<Stacks*> g_stacks{nullptr};
std::atomic<uint64_t> g_refused{0};

struct Key {
  std::span<const uintptr_t> pcs;
  uint32_t spawner = 0;
};

uint64_t HashOf(const Key& key) {
  uint64_t hash = key.pcs.size() | uint64_t{key.spawner} << 32;
  for (const uintptr_t pc : key.pcs) {
    const auto product = static_cast<unsigned __int128>(hash ^ pc) * 0x9e3779b97f4a7c15;
    hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  return hash;
}

bool Is(const KeptStack& kept, uint64_t hash, const Key& key) {
  return kept.hash == hash && kept.spawner == key.spawner &&
         std::ranges::equal(std::span(kept.pcs).first(kept.size), key.pcs);
}

// The number, or 0 and the empty slot where it belongs.
uint32_t Find(const Stacks& stacks, uint64_t hash, const Key& key, size_t* slot) {
  for (size_t at = hash % Stacks::kSlots;; at = (at + 1) % Stacks::kSlots) {
    // acquire: pairs with Add()
    const uint32_t number = stacks.slots[at].load(std::memory_order_acquire);
    *slot = at;
    if (number == 0 || Is(stacks.kept[number], hash, key)) return number;
  }
}

uint32_t Add(Stacks& stacks, uint64_t hash, const Key& key) {
  std::lock_guard lock(stacks.lock);
  size_t slot;
  if (const uint32_t number = Find(stacks, hash, key, &slot); number != 0) return number;
  if (stacks.next == kSpawnStacksMax) {
    g_refused.fetch_add(1, std::memory_order_relaxed);
    return 0;
  }
  KeptStack& kept = stacks.kept[stacks.next];
  kept.hash = hash;
  kept.size = static_cast<uint32_t>(key.pcs.size());
  kept.spawner = key.spawner;
  kept.chain = key.spawner == 0 ? 1 : stacks.kept[key.spawner].chain + 1;
  std::ranges::copy(key.pcs, kept.pcs.begin());
  stacks.slots[slot].store(stacks.next, std::memory_order_release);  // release: pairs with Find()
  return stacks.next++;
}

uint32_t NumberOf(Stacks& stacks, const Key& key) {
  const uint64_t hash = HashOf(key);
  size_t slot;
  const uint32_t number = Find(stacks, hash, key, &slot);
  return number != 0 ? number : Add(stacks, hash, key);
}

// As `number`, without what is further back than `chain_max` stacks.
uint32_t Shortened(Stacks& stacks, uint32_t number, uint32_t chain_max) {
  if (number == 0 || chain_max == 0) return 0;
  const KeptStack& kept = stacks.kept[number];
  if (kept.chain <= chain_max) return number;
  const uint32_t spawner = Shortened(stacks, kept.spawner, chain_max - 1);
  return NumberOf(stacks, {std::span(kept.pcs).first(kept.size), spawner});
}

// Where the calling task was spawned.
uint32_t SpawnStackHere(Stacks& stacks) {
  const Task* const task = CurrentTask();
  if (task == nullptr) return 0;
  if (task->spawn_stack != 0) return Shortened(stacks, task->spawn_stack, kSpawnChainMax - 1);
  if (task->spawn_pc == 0) return 0;
  return NumberOf(stacks, {std::span(&task->spawn_pc, 1)});
}

constexpr size_t kOwn = 2;  // frames that are not of interest: RecordSpawnStack and its caller

StackBounds StackHere() {
  const ThreadState& thread = ThisThread();
  // relaxed: see ThreadState
  const Task* const task = thread.current.load(std::memory_order_relaxed);
  return task != nullptr ? task->context.stack() : thread.system_stack;
}

}  // namespace

constinit std::atomic<bool> g_keep_spawn_stacks{false};

std::unique_ptr<WalkMemo> MakeSpawnWalks() {
  constexpr size_t kWalks = 512;
  return std::make_unique<WalkMemo>(kSpawnFramesMax + kOwn, kWalks);
}

// A walk's note is the number of its stack with the spawner that it had last.
__attribute__((noinline)) uint32_t RecordSpawnStack(WalkMemo* walks) {
  Stacks* const stacks = g_stacks.load(std::memory_order_acquire);  // acquire: pairs with
                                                                    // KeepSpawnStacks()
  const StackBounds bounds = StackHere();
  const Registers here = RegistersHere();
  const uint32_t spawner = SpawnStackHere(*stacks);
  std::array<uintptr_t, kSpawnFramesMax + kOwn> pcs;
  if (walks == nullptr) {
    const size_t depth = WalkStack(here, bounds, pcs).depth;
    return depth <= kOwn
               ? 0
               : NumberOf(*stacks,
                          {std::span<const uintptr_t>(pcs).subspan(kOwn, depth - kOwn), spawner});
  }
  if (walks->full()) walks->Clear();
  const WalkMemo::Walk walk = walks->Of(here, bounds);
  if (walk.pcs.size() <= kOwn) return 0;
  if (walk.note != nullptr && *walk.note != 0 && stacks->kept[*walk.note].spawner == spawner)
    return *walk.note;
  const uint32_t number = NumberOf(*stacks, {walk.pcs.subspan(kOwn), spawner});
  if (walk.note != nullptr) *walk.note = number;
  return number;
}

std::span<const uintptr_t> SpawnStackOf(uint32_t number) {
  const Stacks* const stacks = g_stacks.load(std::memory_order_acquire);  // acquire: as above
  if (number == 0 || stacks == nullptr) return {};
  const KeptStack& kept = stacks->kept[number];
  return {kept.pcs.data(), kept.size};
}

uint32_t SpawnerOf(uint32_t number) {
  const Stacks* const stacks = g_stacks.load(std::memory_order_acquire);  // acquire: as above
  return number == 0 || stacks == nullptr ? 0 : stacks->kept[number].spawner;
}

uint64_t SpawnStacksRefused() { return g_refused.load(std::memory_order_relaxed); }

namespace {

// Who wants them kept.
struct Keepers {
  std::mutex lock;
  bool program = false;  // guarded by lock
  int holds = 0;         // guarded by lock
};

constinit Keepers g_keepers;

// Requires: the keepers' lock.
void Decide() {
  const bool keep = g_keepers.program || g_keepers.holds > 0;
  if (keep && g_stacks.load(std::memory_order_relaxed) == nullptr) {  // relaxed: written under the
                                                                      // lock
    (void)RefreshUnwindTables();
    auto* const memory = PageAllocator<Stacks>().allocate(1);  // for ever
    // release: pairs with RecordSpawnStack()
    g_stacks.store(::new (memory) Stacks, std::memory_order_release);
  }
  // release: whoever sees the switch on sees the table
  g_keep_spawn_stacks.store(keep, std::memory_order_release);
}

}  // namespace

SpawnStackHold::SpawnStackHold() {
  std::lock_guard lock(g_keepers.lock);
  ++g_keepers.holds;
  Decide();
}

SpawnStackHold::~SpawnStackHold() {
  std::lock_guard lock(g_keepers.lock);
  --g_keepers.holds;
  Decide();
}

}  // namespace internal

void KeepSpawnStacks(bool on) {
  std::lock_guard lock(internal::g_keepers.lock);
  internal::g_keepers.program = on;
  internal::Decide();
}

}  // namespace curg
