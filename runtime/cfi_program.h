// SPDX-License-Identifier: Apache-2.0
//
// CfiProgram: runs the call frame instructions of one function, one row of program counters after
// the other. Serves both the compiler of tables (all rows of a module, ahead) and the walker (the
// one row it needs, in the handler, for a module without a table).
//
// Everything here is async-signal-safe: no lock, no allocation, no system call.
#pragma once

#include <cstdint>

#include "runtime/dwarf_reader.h"
#include "runtime/eh_frame.h"
#include "runtime/frame_rule.h"

namespace curg::internal {

// Runs an entry's instructions. Rows come in ascending order and cover [pc_begin, pc_end) without
// gaps:
//
//   CfiProgram program(entry);
//   while (program.Next(&begin, &end, &rule)) ...
//   if (program.failed()) ...  // an instruction made no sense; earlier rows stand
class CfiProgram {
 public:
  // `entry` must outlive this.
  explicit CfiProgram(const FrameEntry& entry) noexcept;

  // The next row that is not empty: `rule` holds for the instructions in [begin, end).
  bool Next(uintptr_t* begin, uintptr_t* end, FrameRule* rule) noexcept;

  bool failed() const { return failed_; }

 private:
  // What compilers nest is 1 or 2 deep.
  static constexpr int kRememberMax = 8;

  // Executes one instruction. True when it moved the location.
  bool Execute(DwarfReader& reader);
  bool ExecuteExtended(uint8_t opcode, DwarfReader& reader);
  void ExecuteCfa(uint8_t opcode, DwarfReader& reader);
  void ExecuteRegister(uint8_t opcode, DwarfReader& reader);
  void DefineCfa(uint64_t reg, int64_t offset);
  void SetOffset(uint64_t reg, int64_t offset, ValueRule::Kind kind);
  // The rule of a register that walks follow; null for others.
  static ValueRule* Tracked(FrameRule& rule, uint64_t reg);
  void SetRule(uint64_t reg, ValueRule value);
  void RestoreInitial(uint64_t reg);
  void Remember();
  void Recall();
  bool Advance(uint64_t delta);

  const FrameEntry& entry_;
  const uint8_t* at_;
  uintptr_t location_;
  FrameRule rule_;
  FrameRule initial_;
  // Not initialised: there is one program for each of a module's functions.
  union Remembered {
    Remembered() noexcept {}
    FrameRule rule;
  };
  Remembered remembered_[kRememberMax];
  int remembered_count_ = 0;
  bool failed_ = false;
};

// The rule for the instruction at `pc`, looked up in the module's own tables. False: none.
// About 400 ns.
bool FindFrameRule(const EhFrame& module, uintptr_t pc, FrameRule* rule) noexcept;

}  // namespace curg::internal
