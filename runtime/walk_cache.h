// SPDX-License-Identifier: Apache-2.0
//
// WalkCache: WalkStack for many stacks of the same few call sites, with the rules of program
// counters remembered.
//
// A rule is remembered as long as the compiled tables are the same ones. So a walk may go by a rule
// of a module that was unloaded, and replaced in place, since they were compiled; then it ends
// early or shows wrong frames, but reads nothing outside of the stack. For dumps, not for the
// profiler, which asks the loader on every walk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/traceback.h"
#include "runtime/unwind_index.h"

namespace curg::internal {

// Is told of each step of a walk, from a callee's registers to the caller's; equal ones: there was
// none.
class WalkObserver {
 public:
  virtual void OnStep(const UnwindReader::Found& found, const Registers& callee,
                      const Registers& caller) noexcept = 0;

 protected:
  ~WalkObserver() = default;
};

// Owner only: one thread at a time.
class WalkCache {
 public:
  // As WalkStack. Not async-signal-safe, for the sake of its owner.
  Traceback Walk(const Registers& start, StackBounds bounds, std::span<uintptr_t> pcs,
                 WalkObserver* observer) noexcept;

 private:
  static constexpr int kBits = 10;

  struct Entry {
    uintptr_t address = 0;
    UnwindWord word;
    bool below_root = false;  // a rule of the side list that says root_if_returned_to
  };

  UnwindReader::Found Find(uintptr_t address) noexcept;
  UnwindReader::Found Learn(uintptr_t address, Entry& entry) noexcept;

  const UnwindIndex* index_ = nullptr;  // by whose tables the entries are; only compared
  UnwindReader* reader_ = nullptr;      // of the walk, made when something is not remembered
  alignas(UnwindReader) std::byte reader_memory_[sizeof(UnwindReader)];
  std::array<Entry, size_t{1} << kBits> entries_ = {};
};

}  // namespace curg::internal
