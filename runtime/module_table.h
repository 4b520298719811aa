// SPDX-License-Identifier: Apache-2.0
//
// ModuleTable: one module's .eh_frame, compiled into rows that are found in two loads and a short
// search.
//
//   rows_     ascending by pc; a row holds up to the next. Row 0 begins at 0.
//   buckets_  for each 256 bytes of text, the row that holds at their first byte; one at the end
//   side_     what does not fit in a row
//
// 8 bytes a row, one row for about 50 bytes of text: libc, libstdc++, abseil and a test, 3.8 MB of
// text together, take 0.67 MB and 4 ms; a compiler with 160 MB of it 25 MB and 100 ms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/loaded_modules.h"
#include "runtime/unwind_row.h"

namespace curg::internal {

// Immutable once compiled: all const functions may run in parallel with everything.
class ModuleTable {
 public:
  // Reads the module's exception tables and, where there are none, its code (fcontext_rows.h).
  // Null if it has more than 4 GiB of text, or could not be told from another that may later be in
  // its place: a shared object without a build id. `module` must stay loaded meanwhile.
  // Not async-signal-safe: allocates.
  static std::unique_ptr<const ModuleTable> Compile(const LoadedModule& module);

  // From a list of rules instead: each holds from its pc on, the last one up to `end`. For tests.
  struct PlacedRule {
    uintptr_t pc;
    FrameRule rule;
  };
  static std::unique_ptr<const ModuleTable> FromRules(const std::vector<PlacedRule>& rules,
                                                      uintptr_t end);

  // Async-signal-safe.
  bool Contains(uintptr_t pc) const noexcept { return pc - begin_ < size_; }
  uintptr_t begin() const noexcept { return begin_; }
  uintptr_t end() const noexcept { return begin_ + size_; }

  // Whether the module can never be unloaded, so that what is at its place is always this.
  // Async-signal-safe.
  bool permanent() const noexcept { return permanent_; }

  // Whether this was compiled from the module that is loaded at its place now, as `loaded` says
  // what FindModule finds there. Never for a table FromRules.
  // Async-signal-safe.
  bool IsCurrent(const ModuleIdentity& loaded) const noexcept;

  // The word for the instruction that has a byte at `pc`.
  // Requires: Contains(pc). Async-signal-safe.
  UnwindWord Find(uintptr_t pc) const noexcept;

  // Starts to fetch what Find(pc) reads first, if it is this table's at all. Async-signal-safe.
  void Prefetch(uintptr_t pc) const noexcept {
    if (Contains(pc)) __builtin_prefetch(&bucket_data_[(pc - begin_) >> kBucketBits]);
  }

  // Requires: word.kind() == kSide, and it is this table's. Async-signal-safe.
  const FrameRule& Side(UnwindWord word) const noexcept { return side_data_[word.side_index()]; }

  // Whether this is what Compile(module) would give.
  bool IsOf(const LoadedModule& module) const;

  // Bytes used.
  size_t memory() const;
  size_t row_count() const { return rows_.size(); }

 private:
  friend class ModuleTableBuilder;

  static constexpr int kBucketBits = 8;

  ModuleTable() = default;
  void Seal();

  // What a lookup needs, in one cache line; of the vectors below the elements: no library code runs
  // in a handler.
  uintptr_t begin_ = 0;
  uintptr_t size_ = 0;
  const UnwindRow* row_data_ = nullptr;
  const uint32_t* bucket_data_ = nullptr;
  const FrameRule* side_data_ = nullptr;
  bool permanent_ = false;

  ModuleIdentity identity_;
  ModuleMark mark_;
  std::vector<UnwindRow> rows_;
  std::vector<uint32_t> buckets_;
  std::vector<FrameRule> side_;
};

}  // namespace curg::internal
