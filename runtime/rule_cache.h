// SPDX-License-Identifier: Apache-2.0
//
// RuleCache: WalkStack for a signal handler that comes back to the same code again and again: what
// the tables said of return addresses is remembered, and where the last walk went. Where caches are
// cold a look into the tables is two misses a frame, in pages of their own, and the next frame
// waits for them; here all is in one page, and what the last walk read, of the stack as of this
// page, can be fetched at once before this one begins: most walks share their outer frames with the
// one before.
//
// Only rules of modules that can never be unloaded are remembered, so that one holds for ever.
// Leaves are not: they are hardly ever the same.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/traceback.h"
#include "runtime/unwind_index.h"

namespace curg::internal {

// Owner only: one handler at a time. A page.
class alignas(4096) RuleCache {
 public:
  // Starts to fetch what a walk from `start` will probably read. The earlier before Walk, the
  // better; it needs nothing to be true. Async-signal-safe. Blocks: nothing.
  void Fetch(const Registers& start) const noexcept;

  // As WalkStack. Async-signal-safe: no lock, no allocation, no system call.
  Traceback Walk(const Registers& start, StackBounds bounds, std::span<uintptr_t> pcs) noexcept;

 private:
  static constexpr uint64_t kEntries = 231;
  static constexpr size_t kTrail = 48;

  struct Entry {
    uintptr_t address = 0;
    UnwindWord word;
    uint32_t below_root = 0;  // not 0: a rule of the side list that says root_if_returned_to
  };

  // A frame of the last walk: its stack pointer, and the number of the entry that led to it.
  static constexpr int kNumberBits = 8;
  static_assert(kEntries <= 1 << kNumberBits);

  UnwindReader::Found FindLeaf(UnwindReader& reader, uintptr_t address) noexcept;
  UnwindReader::Found Find(UnwindReader& reader, size_t number, uintptr_t address) noexcept;

  std::array<Entry, kEntries> entries_ = {};
  std::array<uint64_t, kTrail> trail_ = {};  // 0: the end, if it is shorter
  const ModuleTable* leaf_table_ = nullptr;  // of the last leaf; that of a permanent module, which
                                             // stays for ever
};
static_assert(sizeof(RuleCache) == 4096);

}  // namespace curg::internal
