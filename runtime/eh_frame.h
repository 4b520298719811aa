// SPDX-License-Identifier: Apache-2.0
//
// Reads .eh_frame: the entries (FDE), one for each function, and the linker's index of them. What
// an entry's instructions say is cfi_program.h's matter.
//
// Everything here is async-signal-safe: no lock, no allocation, no system call. Memory is read only
// inside the module; what does not parse gives nothing, never a guess.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/dwarf_reader.h"

namespace curg::internal {

// The exception tables of one loaded module: where they begin, and the memory that is the module's.
struct EhFrame {
  const uint8_t* header = nullptr;  // .eh_frame_hdr, in [low, high)
  const uint8_t* low = nullptr;
  const uint8_t* high = nullptr;
};

// One function's entry, together with what it shares with others (its CIE).
struct FrameEntry {
  uintptr_t pc_begin = 0;
  uintptr_t pc_end = 0;
  uint64_t code_align = 1;
  int64_t data_align = 1;
  bool signal_frame = false;
  const uint8_t* initial = nullptr;  // the CIE's instructions, then the entry's own
  const uint8_t* initial_end = nullptr;
  const uint8_t* program = nullptr;
  const uint8_t* program_end = nullptr;
  uint8_t pointer_encoding = 0;  // of DW_CFA_set_loc
};

// What many entries share (a CIE), as parsed last.
struct SharedEntry {
  const uint8_t* at = nullptr;  // null: none yet
  FrameEntry common;            // without what is the entry's own
  bool has_data = false;        // its entries have augmentation data
};

// Parses the FDE at `fde`, which lies in `module`. False: malformed, or of a kind that no x86-64
// toolchain emits. `shared` is looked at and replaced: one for each module, to be given with all of
// its entries.
bool ParseFrameEntry(const EhFrame& module, const uint8_t* fde, FrameEntry* entry,
                     SharedEntry* shared) noexcept;

// The linker's index of the FDEs, sorted by program counter. Empty when the module has none, or one
// in another form than every linker writes (4-byte offsets relative to the header).
class FrameEntryIndex {
 public:
  explicit FrameEntryIndex(const EhFrame& module) noexcept;

  size_t size() const { return size_; }

  // The FDE of the i-th function. Requires: i < size().
  const uint8_t* operator[](size_t i) const noexcept;

  // The FDE of the last function that begins at or before `pc`, which may still end before it;
  // null if there is none.
  const uint8_t* Find(uintptr_t pc) const noexcept;

 private:
  const uint8_t* header_ = nullptr;
  const uint8_t* table_ = nullptr;
  size_t size_ = 0;
};

}  // namespace curg::internal
