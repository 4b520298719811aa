// SPDX-License-Identifier: Apache-2.0
#include "runtime/dwarf_expression.h"

#include <cstddef>

namespace curg::internal {
namespace {

enum Op : uint8_t {
  kDeref = 0x06,
  kConst1u = 0x08,
  kConst1s = 0x09,
  kConst2u = 0x0a,
  kConst2s = 0x0b,
  kConst4u = 0x0c,
  kConst4s = 0x0d,
  kAnd = 0x1a,
  kMinus = 0x1c,
  kPlus = 0x22,
  kPlusUconst = 0x23,
  kShl = 0x24,
  kGe = 0x2a,
  kLit0 = 0x30,
  kLit31 = 0x4f,
  kBreg0 = 0x70,
  kBreg31 = 0x8f,
  kBregx = 0x92,
  kNop = 0x96,
};

// base + offset, or *(base + offset) + addend.
struct Linear {
  enum class Base : uint8_t { kNone, kCfa, kRegister };
  Base base = Base::kNone;
  uint8_t reg = 0;
  bool deref = false;
  int64_t offset = 0;
  int64_t addend = 0;

  void Add(int64_t value) {
    int64_t& term = deref ? addend : offset;
    term = static_cast<int64_t>(static_cast<uint64_t>(term) + static_cast<uint64_t>(value));
  }
};

bool Fits(int64_t value) { return value == static_cast<int32_t>(value); }

// A constant for the `plus` or `minus` that follows it; false if `op` is none.
bool ReadConstant(uint8_t op, DwarfReader& reader, int64_t* value) {
  if (op >= kLit0 && op <= kLit31) {
    *value = op - kLit0;
    return true;
  }
  switch (op) {
    case kConst1u:
      *value = reader.U8();
      return true;
    case kConst1s:
      *value = static_cast<int8_t>(reader.U8());
      return true;
    case kConst2u:
      *value = reader.U16();
      return true;
    case kConst2s:
      *value = static_cast<int16_t>(reader.U16());
      return true;
    case kConst4u:
      *value = reader.U32();
      return true;
    case kConst4s:
      *value = static_cast<int32_t>(reader.U32());
      return true;
    default:
      return false;
  }
}

bool SetBase(uint64_t reg, DwarfReader& reader, Linear* linear) {
  if (linear->base == Linear::Base::kRegister || reg > kDwarfReturnAddress) return false;
  *linear = {.base = Linear::Base::kRegister, .reg = static_cast<uint8_t>(reg)};
  linear->offset = reader.Sleb();
  return true;
}

// One operation, applied to `linear`.
bool Apply(uint8_t op, DwarfReader& reader, Linear* linear) {
  if (op >= kBreg0 && op <= kBreg31) return SetBase(op - kBreg0, reader, linear);
  if (op == kBregx) return SetBase(reader.Uleb(), reader, linear);
  if (op == kNop) return true;
  if (linear->base == Linear::Base::kNone) return false;
  if (op == kDeref) {
    if (linear->deref) return false;
    linear->deref = true;
    return true;
  }
  if (op == kPlusUconst) {
    linear->Add(static_cast<int64_t>(reader.Uleb()));
    return true;
  }
  int64_t value = 0;
  if (!ReadConstant(op, reader, &value)) return false;
  const uint8_t combine = reader.U8();
  if (combine != kPlus && combine != kMinus) return false;
  linear->Add(combine == kPlus ? value : -value);
  return true;
}

bool ReadLinear(const uint8_t* begin, const uint8_t* end, Linear::Base initial, Linear* linear) {
  *linear = {.base = initial};
  DwarfReader reader(begin, end);
  while (!reader.done()) {
    if (!Apply(reader.U8(), reader, linear)) return false;
  }
  return !reader.failed() && linear->base != Linear::Base::kNone && Fits(linear->offset) &&
         Fits(linear->addend);
}

// What ld and lld write for .plt: entries of 16 bytes that push once, at the end of byte n - 1.
constexpr uint8_t kPlt[] = {kBreg0 + kDwarfRsp,
                            8,
                            kBreg0 + kDwarfReturnAddress,
                            0,
                            kLit0 + 15,
                            kAnd,
                            kLit0 /* + n */,
                            kGe,
                            kLit0 + 3,
                            kShl,
                            kPlus};
constexpr size_t kPltOperand = 6;

// The n of a PLT expression; -1 if it is none.
int PltThreshold(const uint8_t* begin, const uint8_t* end) {
  if (end - begin != sizeof(kPlt)) return -1;
  for (size_t i = 0; i < sizeof(kPlt); ++i) {
    if (i != kPltOperand && begin[i] != kPlt[i]) return -1;
  }
  const int threshold = begin[kPltOperand] - kLit0;
  return threshold >= 0 && threshold < 16 ? threshold : -1;
}

}  // namespace

CfaRule CfaOfExpression(const uint8_t* begin, const uint8_t* end) noexcept {
  const int threshold = PltThreshold(begin, end);
  if (threshold >= 0) {
    return {.kind = CfaRule::Kind::kPlt, .reg = static_cast<uint8_t>(threshold)};
  }
  Linear linear;
  if (!ReadLinear(begin, end, Linear::Base::kNone, &linear)) return {};
  return {.kind = linear.deref ? CfaRule::Kind::kAtRegister : CfaRule::Kind::kRegister,
          .reg = linear.reg,
          .offset = static_cast<int32_t>(linear.offset),
          .addend = static_cast<int32_t>(linear.addend)};
}

ValueRule ValueOfExpression(const uint8_t* begin, const uint8_t* end, bool is_address) noexcept {
  using Kind = ValueRule::Kind;
  // The CFA is on the expression's stack when it begins.
  Linear linear;
  if (!ReadLinear(begin, end, Linear::Base::kCfa, &linear)) return {Kind::kUnknown};
  // *(*(...) + d), or *(...) + d with d != 0: nothing needs them.
  if (linear.deref && (is_address || linear.addend != 0)) return {Kind::kUnknown};
  const bool in_memory = is_address || linear.deref;
  const auto offset = static_cast<int32_t>(linear.offset);
  if (linear.base == Linear::Base::kCfa)
    return {in_memory ? Kind::kAtCfa : Kind::kIsCfa, 0, offset};
  return {in_memory ? Kind::kAtRegister : Kind::kRegister, linear.reg, offset};
}

}  // namespace curg::internal
