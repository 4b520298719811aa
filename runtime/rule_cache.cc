// SPDX-License-Identifier: Apache-2.0
#include "runtime/rule_cache.h"

#include "runtime/walk_loop.h"

namespace curg::internal {

[[gnu::hot]] Traceback RuleCache::Walk(const Registers& start, StackBounds bounds,
                                       std::span<uintptr_t> pcs) noexcept {
  UnwindReader reader(ProcessUnwindIndex(), leaf_table_);
  size_t frames = 0;
  size_t number = 0;
  const auto find = [&](uintptr_t address) {
    if (frames == 0) [[unlikely]]
      return FindLeaf(reader, address);
    constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
    number = (address * kGolden >> 32) * kEntries >> 32;
    return Find(reader, number, address);
  };
  const auto note = [&](const UnwindReader::Found&, const Registers&, const Registers& caller) {
    if (frames < kTrail) trail_[frames] = caller.sp << kNumberBits | number;
    ++frames;
  };
  const Traceback walk = WalkBy(find, start, bounds, pcs, note);
  if (frames < kTrail) trail_[frames] = 0;
  return walk;
}

[[gnu::hot]] void RuleCache::Fetch(const Registers& start) const noexcept {
  constexpr uintptr_t kNear = 64 << 10;  // on the same stack, most likely
  if (leaf_table_ != nullptr) leaf_table_->Prefetch(start.pc);
  for (const uint64_t frame : trail_) {
    if (frame == 0) return;
    __builtin_prefetch(&entries_[frame & ((1 << kNumberBits) - 1)]);
    const uintptr_t sp = frame >> kNumberBits;
    // The return address is below it.
    if (sp - start.sp < kNear)
      __builtin_prefetch(reinterpret_cast<const void*>(sp - sizeof(uintptr_t)));
  }
}

inline UnwindReader::Found RuleCache::FindLeaf(UnwindReader& reader, uintptr_t address) noexcept {
  const UnwindReader::Found found = reader.Find(address);
  const ModuleTable* const table = reader.FirstTable();
  if (found.permanent && table != nullptr) leaf_table_ = table;
  return found;
}

inline UnwindReader::Found RuleCache::Find(UnwindReader& reader, size_t number,
                                           uintptr_t address) noexcept {
  Entry& entry = entries_[number];
  if (entry.address == address) return {entry.word, entry.below_root != 0 ? &kBelowRoot : nullptr};
  const UnwindReader::Found found = reader.Find(address);
  const bool below_root = found.rule != nullptr && found.rule->root_if_returned_to;
  if (found.permanent && (found.rule == nullptr || below_root)) {
    entry = {.address = address, .word = found.word, .below_root = below_root};
  }
  return found;
}

}  // namespace curg::internal
