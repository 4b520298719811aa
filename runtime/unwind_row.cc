// SPDX-License-Identifier: Apache-2.0
#include "runtime/unwind_row.h"

namespace curg::internal {
namespace {

constexpr FrameRule kRootRule{.return_address = {ValueRule::Kind::kUndefined}};

// The field for a register's rule: 0 for unchanged, n for saved n words below the CFA.
bool EncodeSaved(const ValueRule& rule, uint32_t* words) {
  *words = 0;
  if (rule.kind == ValueRule::Kind::kSame) return true;
  if (rule.kind != ValueRule::Kind::kAtCfa || rule.offset >= 0 || rule.offset % 8 != 0)
    return false;
  *words = static_cast<uint32_t>(-int64_t{rule.offset} / 8);
  return *words < 64;
}

bool EncodeCfa(const CfaRule& cfa, UnwindWord::Kind* kind, uint32_t* field) {
  if (cfa.kind == CfaRule::Kind::kPlt) {
    *kind = UnwindWord::Kind::kPlt;
    *field = cfa.reg;
    return true;
  }
  if (cfa.kind != CfaRule::Kind::kRegister) return false;
  if (cfa.offset < 0 || cfa.offset % 8 != 0 || cfa.offset / 8 > 0xffff) return false;
  *field = static_cast<uint32_t>(cfa.offset / 8);
  if (cfa.reg == kDwarfRsp) *kind = UnwindWord::Kind::kRsp;
  if (cfa.reg == kDwarfRbp) *kind = UnwindWord::Kind::kRbp;
  return cfa.reg == kDwarfRsp || cfa.reg == kDwarfRbp;
}

ValueRule DecodeSaved(uint32_t below) {
  if (below == 0) return {};
  return {ValueRule::Kind::kAtCfa, 0, -static_cast<int32_t>(below)};
}

}  // namespace

bool UnwindWord::Encode(const FrameRule& rule, UnwindWord* word) {
  using Value = ValueRule::Kind;
  if (rule.signal_frame || rule.root_if_returned_to) return false;
  if (rule.enters_caller || rule.throws) return false;
  if (rule.return_address.kind == Value::kUndefined) {
    *word = UnwindWord(Kind::kRoot);
    return true;
  }
  if (rule.cfa.kind == CfaRule::Kind::kUnknown || rule.return_address.kind == Value::kUnknown) {
    *word = UnwindWord(Kind::kNone);
    return true;
  }
  if (rule.return_address != ValueRule{Value::kAtCfa, 0, -8}) return false;
  if (rule.rsp != ValueRule{Value::kIsCfa}) return false;
  Kind kind = Kind::kNone;
  uint32_t cfa = 0;
  uint32_t rbp = 0;
  uint32_t rbx = 0;
  if (!EncodeCfa(rule.cfa, &kind, &cfa)) return false;
  if (!EncodeSaved(rule.rbp, &rbp) || !EncodeSaved(rule.rbx, &rbx)) return false;
  word->bits_ = static_cast<uint32_t>(kind) | cfa << 4 | rbp << 20 | rbx << 26;
  return true;
}

FrameRule UnwindWord::Decode() const noexcept {
  FrameRule rule;
  switch (kind()) {
    case Kind::kRoot:
      return kRootRule;
    case Kind::kRsp:
    case Kind::kRbp:
      rule.cfa = {.kind = CfaRule::Kind::kRegister,
                  .reg = kind() == Kind::kRsp ? kDwarfRsp : kDwarfRbp,
                  .offset = static_cast<int32_t>(cfa_offset())};
      break;
    case Kind::kPlt:
      rule.cfa = {.kind = CfaRule::Kind::kPlt, .reg = static_cast<uint8_t>(plt_threshold())};
      break;
    case Kind::kNone:
    case Kind::kSide:
      return rule;
  }
  rule.return_address = {ValueRule::Kind::kAtCfa, 0, -8};
  rule.rbp = DecodeSaved(rbp_below());
  rule.rbx = DecodeSaved(rbx_below());
  return rule;
}

}  // namespace curg::internal
