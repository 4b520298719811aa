// SPDX-License-Identifier: Apache-2.0
#include "runtime/walk_cache.h"

#include <memory>
#include <new>

#include "runtime/walk_loop.h"

namespace curg::internal {

Traceback WalkCache::Walk(const Registers& start, StackBounds bounds, std::span<uintptr_t> pcs,
                          WalkObserver* observer) noexcept {
  if (const UnwindIndex* current = ProcessUnwindIndex().current(); current != index_) {
    entries_.fill({});
    index_ = current;
  }
  const auto observe = [observer](const UnwindReader::Found& found, const Registers& callee,
                                  const Registers& caller) {
    if (observer != nullptr) observer->OnStep(found, callee, caller);
  };
  const Traceback walk =
      WalkBy([this](uintptr_t pc) { return Find(pc); }, start, bounds, pcs, observe);
  if (reader_ != nullptr) {
    std::destroy_at(reader_);
    reader_ = nullptr;
  }
  return walk;
}

inline UnwindReader::Found WalkCache::Find(uintptr_t address) noexcept {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
  Entry& entry = entries_[address * kGolden >> (64 - kBits)];
  if (entry.address != address) [[unlikely]]
    return Learn(address, entry);
  return {entry.word, entry.below_root ? &kBelowRoot : nullptr};
}

__attribute__((noinline)) UnwindReader::Found WalkCache::Learn(uintptr_t address,
                                                               Entry& entry) noexcept {
  if (reader_ == nullptr) reader_ = ::new (reader_memory_) UnwindReader(ProcessUnwindIndex());
  const UnwindReader::Found found = reader_->Find(address);
  const bool below_root = found.rule != nullptr && found.rule->root_if_returned_to;
  if (found.rule == nullptr || below_root) {
    entry = {.address = address, .word = found.word, .below_root = below_root};
  }
  return found;
}

}  // namespace curg::internal
