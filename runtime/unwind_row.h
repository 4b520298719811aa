// SPDX-License-Identifier: Apache-2.0
//
// UnwindRow: a FrameRule in four bytes, beside the program counter from which it holds.
//
//   pc     bytes from the beginning of the module's text
//   bits    0..3   kind
//           4..19  kRsp, kRbp: (CFA - register) / 8, up to 512 KiB; kPlt: the threshold
//          20..25  where rbp is saved, in words below the CFA; 0: it is not
//          26..31  where rbx is saved, likewise
//           4..31  kSide: index of a FrameRule in the table's side list
//
// The return address is in the word below the CFA, and the caller's rsp is the CFA. All else goes
// to the side list: signal frames, realigned functions, setjmp and its like. That is 26 of 76,000
// rows in libc, libstdc++ and a test; libcrypto has 400 in 71,000.
#pragma once

#include <cstdint>

#include "runtime/frame_rule.h"

namespace curg::internal {

// What to do in a range of program counters.
class UnwindWord {
 public:
  enum class Kind : uint8_t {
    kNone,  // no unwind information
    kRoot,  // the first frame: _start, clone, the entry of a task
    kRsp,   // CFA = rsp + offset
    kRbp,   // CFA = rbp + offset
    kPlt,   // CFA = rsp + 8 or 16, by the position in the PLT entry
    kSide,  // a FrameRule of the side list
  };

  constexpr UnwindWord() = default;
  constexpr explicit UnwindWord(Kind kind) : bits_(static_cast<uint32_t>(kind)) {}

  // The entry `index` of the side list. Requires: index <= kSideMax.
  static constexpr UnwindWord Side(uint32_t index) {
    UnwindWord word(Kind::kSide);
    word.bits_ |= index << 4;
    return word;
  }
  static constexpr uint32_t kSideMax = (uint32_t{1} << 28) - 1;

  // The word for `rule`. False if only the side list can hold it.
  static bool Encode(const FrameRule& rule, UnwindWord* word);

  // The rule again. Requires: not kSide. Async-signal-safe.
  FrameRule Decode() const noexcept;

  // All below are async-signal-safe.
  constexpr Kind kind() const { return static_cast<Kind>(bits_ & 0xf); }
  constexpr uint32_t side_index() const { return bits_ >> 4; }
  constexpr uint32_t cfa_offset() const { return ((bits_ >> 4) & 0xffff) * 8; }
  constexpr uint32_t plt_threshold() const { return (bits_ >> 4) & 0xffff; }
  // Bytes below the CFA; 0: the register is not saved.
  constexpr uint32_t rbp_below() const { return ((bits_ >> 20) & 0x3f) * 8; }
  constexpr uint32_t rbx_below() const { return (bits_ >> 26) * 8; }

  friend constexpr bool operator==(UnwindWord, UnwindWord) = default;

 private:
  uint32_t bits_ = 0;
};

struct UnwindRow {
  uint32_t pc = 0;
  UnwindWord word;
};
static_assert(sizeof(UnwindRow) == 8);

}  // namespace curg::internal
