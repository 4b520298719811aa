// SPDX-License-Identifier: Apache-2.0
//
// Spawn stacks: where each task was spawned, with the callers of the spawn, up to 16 frames. Off at
// first: a spawn from ten frames then takes 35 ns more, half a microsecond if nothing was spawned
// from there lately. The spawn site alone (Task::spawn_pc) is always known.
//
//   curg::KeepSpawnStacks(true);   // of tasks spawned from now on
//
// Equal stacks of equal spawners are kept once, for ever, under a number; at most kSpawnStacksMax
// different ones in a process. A number leads on to that of the spawner, kSpawnChainMax stacks in
// all: so a task that spawns its own successor, for ever, has that many different ones.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace curg {

// Whether the stacks of spawns are kept from now on; a CPU profile that shows spawners keeps them
// meanwhile, whatever is said here. Thread-safe. Blocks: the thread, some milliseconds the first
// time.
void KeepSpawnStacks(bool on);

namespace internal {

class WalkMemo;

inline constexpr size_t kSpawnFramesMax = 16;
inline constexpr uint32_t kSpawnStacksMax = 32768;
inline constexpr uint32_t kSpawnChainMax = 4;

extern std::atomic<bool> g_keep_spawn_stacks;

inline bool SpawnStacksKept() {
  return g_keep_spawn_stacks.load(std::memory_order_relaxed);  // relaxed: a switch alone
}

// Remembers some hundred stacks of spawns.
std::unique_ptr<WalkMemo> MakeSpawnWalks();

// The number of the caller's stack but for its innermost frame. 0: it cannot be walked, or there
// are too many different ones. `walks` is the processor's own, null for none: then the walk takes
// longer. Thread-safe. Blocks: nothing, unless the stack is new.
uint32_t RecordSpawnStack(WalkMemo* walks);

// The return addresses under a number, the spawn site first; empty for 0. Valid for ever.
// Async-signal-safe.
std::span<const uintptr_t> SpawnStackOf(uint32_t number);

// The number of the stack that spawned the task which spawned there; 0: not known, or too far back.
// Where that one's stack was not kept, it is its spawn site alone. Async-signal-safe.
uint32_t SpawnerOf(uint32_t number);

// Keeps spawn stacks as long as it lives. Thread-safe.
class SpawnStackHold {
 public:
  // Blocks: the thread, some milliseconds the first time.
  SpawnStackHold();
  ~SpawnStackHold();
  SpawnStackHold(const SpawnStackHold&) = delete;
  SpawnStackHold& operator=(const SpawnStackHold&) = delete;
};

// Spawns whose stack found no room. Thread-safe.
uint64_t SpawnStacksRefused();

}  // namespace internal
}  // namespace curg
