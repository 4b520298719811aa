// SPDX-License-Identifier: Apache-2.0
#include "runtime/cfi_program.h"

#include "runtime/dwarf_expression.h"

namespace curg::internal {
namespace {

// DW_CFA_*. The first three keep an operand in their low six bits.
enum Cfa : uint8_t {
  kAdvanceLoc = 0x40,
  kOffset = 0x80,
  kRestore = 0xc0,
  kNop = 0x00,
  kSetLoc = 0x01,
  kAdvanceLoc1 = 0x02,
  kAdvanceLoc2 = 0x03,
  kAdvanceLoc4 = 0x04,
  kOffsetExtended = 0x05,
  kRestoreExtended = 0x06,
  kUndefined = 0x07,
  kSameValue = 0x08,
  kRegister = 0x09,
  kRememberState = 0x0a,
  kRestoreState = 0x0b,
  kDefCfa = 0x0c,
  kDefCfaRegister = 0x0d,
  kDefCfaOffset = 0x0e,
  kDefCfaExpression = 0x0f,
  kExpression = 0x10,
  kOffsetExtendedSf = 0x11,
  kDefCfaSf = 0x12,
  kDefCfaOffsetSf = 0x13,
  kValOffset = 0x14,
  kValOffsetSf = 0x15,
  kValExpression = 0x16,
  kGnuArgsSize = 0x2e,
  kGnuNegativeOffsetExtended = 0x2f,
};

bool FitsInt32(int64_t value) { return value == static_cast<int32_t>(value); }

// Multiplies without overflow being undefined; nonsense is caught by FitsInt32.
int64_t Scale(uint64_t value, int64_t factor) {
  return static_cast<int64_t>(value * static_cast<uint64_t>(factor));
}

// An expression: its length, then as many bytes.
struct Block {
  const uint8_t* begin;
  const uint8_t* end;
};

Block ReadBlock(DwarfReader& reader) {
  const uint64_t length = reader.Uleb();
  const uint8_t* const begin = reader.at();
  reader.Skip(length);
  return reader.failed() ? Block{begin, begin} : Block{begin, begin + length};
}

}  // namespace

CfiProgram::CfiProgram(const FrameEntry& entry) noexcept
    : entry_(entry), at_(entry.program), location_(entry.pc_begin) {
  rule_.signal_frame = entry.signal_frame;
  DwarfReader reader(entry.initial, entry.initial_end);
  while (!reader.done() && !failed_) {
    if (Execute(reader)) failed_ = true;  // a CIE has no place to move from
  }
  failed_ = failed_ || reader.failed();
  initial_ = rule_;
}

bool CfiProgram::Next(uintptr_t* begin, uintptr_t* end, FrameRule* rule) noexcept {
  while (!failed_ && location_ < entry_.pc_end) {
    *begin = location_;
    DwarfReader reader(at_, entry_.program_end);
    bool moved = false;
    while (!moved && !reader.done() && !failed_) moved = Execute(reader);
    failed_ = failed_ || reader.failed();
    if (failed_) return false;
    at_ = reader.at();
    *rule = rule_;
    if (!moved || location_ > entry_.pc_end) location_ = entry_.pc_end;
    *end = location_;
    if (*begin < *end) return true;
  }
  return false;
}

bool CfiProgram::Advance(uint64_t delta) {
  location_ += delta * entry_.code_align;
  return true;
}

bool CfiProgram::Execute(DwarfReader& reader) {
  const uint8_t opcode = reader.U8();
  const uint8_t operand = opcode & 0x3f;
  switch (opcode & 0xc0) {
    case kAdvanceLoc:
      return Advance(operand);
    case kOffset:
      SetOffset(operand, Scale(reader.Uleb(), entry_.data_align), ValueRule::Kind::kAtCfa);
      return false;
    case kRestore:
      RestoreInitial(operand);
      return false;
    default:
      return ExecuteExtended(opcode, reader);
  }
}

bool CfiProgram::ExecuteExtended(uint8_t opcode, DwarfReader& reader) {
  switch (opcode) {
    case kNop:
      return false;
    case kSetLoc:
      return Advance((reader.Pointer(entry_.pointer_encoding) - location_) / entry_.code_align);
    case kAdvanceLoc1:
      return Advance(reader.U8());
    case kAdvanceLoc2:
      return Advance(reader.U16());
    case kAdvanceLoc4:
      return Advance(reader.U32());
    case kRememberState:
      Remember();
      return false;
    case kRestoreState:
      Recall();
      return false;
    case kGnuArgsSize:
      reader.Uleb();  // of no use to a walk
      return false;
    case kDefCfa:
    case kDefCfaSf:
    case kDefCfaRegister:
    case kDefCfaOffset:
    case kDefCfaOffsetSf:
    case kDefCfaExpression:
      ExecuteCfa(opcode, reader);
      return false;
    default:
      ExecuteRegister(opcode, reader);
      return false;
  }
}

void CfiProgram::ExecuteCfa(uint8_t opcode, DwarfReader& reader) {
  switch (opcode) {
    case kDefCfa: {
      const uint64_t reg = reader.Uleb();
      return DefineCfa(reg, Scale(reader.Uleb(), 1));
    }
    case kDefCfaSf: {
      const uint64_t reg = reader.Uleb();
      return DefineCfa(reg, Scale(static_cast<uint64_t>(reader.Sleb()), entry_.data_align));
    }
    case kDefCfaRegister:
      return DefineCfa(reader.Uleb(), rule_.cfa.offset);
    case kDefCfaOffset:
      return DefineCfa(rule_.cfa.reg, Scale(reader.Uleb(), 1));
    case kDefCfaOffsetSf:
      return DefineCfa(rule_.cfa.reg,
                       Scale(static_cast<uint64_t>(reader.Sleb()), entry_.data_align));
    default: {
      const Block block = ReadBlock(reader);
      rule_.cfa = CfaOfExpression(block.begin, block.end);
    }
  }
}

void CfiProgram::ExecuteRegister(uint8_t opcode, DwarfReader& reader) {
  using Kind = ValueRule::Kind;
  const uint64_t reg = reader.Uleb();
  switch (opcode) {
    case kOffsetExtended:
      return SetOffset(reg, Scale(reader.Uleb(), entry_.data_align), Kind::kAtCfa);
    case kOffsetExtendedSf:
      return SetOffset(reg, Scale(static_cast<uint64_t>(reader.Sleb()), entry_.data_align),
                       Kind::kAtCfa);
    case kGnuNegativeOffsetExtended:
      return SetOffset(reg, Scale(-reader.Uleb(), entry_.data_align), Kind::kAtCfa);
    case kValOffset:
      return SetOffset(reg, Scale(reader.Uleb(), entry_.data_align), Kind::kIsCfa);
    case kValOffsetSf:
      return SetOffset(reg, Scale(static_cast<uint64_t>(reader.Sleb()), entry_.data_align),
                       Kind::kIsCfa);
    case kRestoreExtended:
      return RestoreInitial(reg);
    case kUndefined:
      return SetRule(reg, {Kind::kUndefined});
    case kSameValue:
      return SetRule(reg, {Kind::kSame});
    case kRegister: {
      const uint64_t source = reader.Uleb();
      const bool known = source <= kDwarfReturnAddress;
      return SetRule(reg, {known ? Kind::kRegister : Kind::kUnknown, static_cast<uint8_t>(source)});
    }
    case kExpression:
    case kValExpression: {
      const Block block = ReadBlock(reader);
      return SetRule(reg, ValueOfExpression(block.begin, block.end, opcode == kExpression));
    }
    default:
      failed_ = true;  // its operands are unknown, and so is where the next instruction begins
  }
}

void CfiProgram::DefineCfa(uint64_t reg, int64_t offset) {
  if (reg > kDwarfReturnAddress || !FitsInt32(offset)) {
    rule_.cfa = {};
    return;
  }
  rule_.cfa = {.kind = CfaRule::Kind::kRegister,
               .reg = static_cast<uint8_t>(reg),
               .offset = static_cast<int32_t>(offset)};
}

void CfiProgram::SetOffset(uint64_t reg, int64_t offset, ValueRule::Kind kind) {
  if (!FitsInt32(offset)) return SetRule(reg, {ValueRule::Kind::kUnknown});
  SetRule(reg, {kind, 0, static_cast<int32_t>(offset)});
}

ValueRule* CfiProgram::Tracked(FrameRule& rule, uint64_t reg) {
  switch (reg) {
    case kDwarfRbx:
      return &rule.rbx;
    case kDwarfRbp:
      return &rule.rbp;
    case kDwarfRsp:
      return &rule.rsp;
    case kDwarfReturnAddress:
      return &rule.return_address;
    default:
      return nullptr;
  }
}

void CfiProgram::SetRule(uint64_t reg, ValueRule value) {
  if (ValueRule* rule = Tracked(rule_, reg)) *rule = value;
}

void CfiProgram::RestoreInitial(uint64_t reg) {
  if (ValueRule* rule = Tracked(rule_, reg)) *rule = *Tracked(initial_, reg);
}

void CfiProgram::Remember() {
  if (remembered_count_ == kRememberMax) {
    failed_ = true;
    return;
  }
  remembered_[remembered_count_++].rule = rule_;
}

void CfiProgram::Recall() {
  if (remembered_count_ == 0) {
    failed_ = true;
    return;
  }
  rule_ = remembered_[--remembered_count_].rule;
}

bool FindFrameRule(const EhFrame& module, uintptr_t pc, FrameRule* rule) noexcept {
  const FrameEntryIndex index(module);
  const uint8_t* fde = index.Find(pc);
  FrameEntry entry;
  SharedEntry shared;
  if (fde == nullptr || !ParseFrameEntry(module, fde, &entry, &shared)) return false;
  if (pc < entry.pc_begin || pc >= entry.pc_end) return false;
  CfiProgram program(entry);
  uintptr_t begin = 0;
  uintptr_t end = 0;
  while (program.Next(&begin, &end, rule)) {
    if (pc < end) return true;
  }
  return false;
}

}  // namespace curg::internal
