// SPDX-License-Identifier: Apache-2.0
//
// FrameRule: how to get from one frame to its caller, in the general form. What .eh_frame says is
// read into it (eh_frame.h); nearly always it then fits into four bytes (unwind_row.h).
#pragma once

#include <cstdint>

namespace curg::internal {

// DWARF's numbers for the x86-64 registers that matter here.
inline constexpr uint8_t kDwarfRbx = 3;
inline constexpr uint8_t kDwarfRbp = 6;
inline constexpr uint8_t kDwarfRsp = 7;
inline constexpr uint8_t kDwarfReturnAddress = 16;

// Where the canonical frame address is: by convention, the stack pointer right before the call.
struct CfaRule {
  enum class Kind : uint8_t {
    kUnknown,     // nothing here can express it
    kRegister,    // reg + offset
    kAtRegister,  // *(reg + offset) + addend
    kPlt,         // rsp + 8, and 8 more from byte `reg` of each 16-byte entry of the PLT on
  };
  Kind kind = Kind::kUnknown;
  uint8_t reg = 0;
  int32_t offset = 0;
  int32_t addend = 0;
  friend bool operator==(const CfaRule&, const CfaRule&) = default;
};

// What a register held in the caller.
struct ValueRule {
  enum class Kind : uint8_t {
    kSame,        // what it holds now
    kAtCfa,       // *(CFA + offset)
    kIsCfa,       // CFA + offset
    kRegister,    // reg + offset
    kAtRegister,  // *(reg + offset)
    kUndefined,   // lost; for the return address: there is no caller
    kUnknown,     // nothing here can express it
  };
  Kind kind = Kind::kSame;
  uint8_t reg = 0;
  int32_t offset = 0;
  friend bool operator==(const ValueRule&, const ValueRule&) = default;
};

struct FrameRule {
  CfaRule cfa = {};
  ValueRule return_address = {ValueRule::Kind::kUnknown};
  ValueRule rsp = {ValueRule::Kind::kIsCfa};
  ValueRule rbp = {};
  ValueRule rbx = {};
  // The caller was interrupted by a signal: the "return address" is the very instruction.
  bool signal_frame = false;
  // The caller goes on at the very instruction, too: jumped to at the end of a throw.
  bool enters_caller = false;
  // A frame of libgcc's that throws, which may have become its target's: see frame_step.cc.
  bool throws = false;
  // A return address into here belongs to no call: the frame above was the first of its stack.
  // (As an interrupted instruction it is an ordinary place.)
  bool root_if_returned_to = false;
  friend bool operator==(const FrameRule&, const FrameRule&) = default;
};

// CFA = rsp + offset, the return address right below it; rbp and rbx still, or again, in their
// registers.
constexpr FrameRule FrameAtRsp(int32_t offset) {
  return {.cfa = {.kind = CfaRule::Kind::kRegister, .reg = kDwarfRsp, .offset = offset},
          .return_address = {ValueRule::Kind::kAtCfa, 0, -8}};
}

}  // namespace curg::internal
