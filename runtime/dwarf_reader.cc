// SPDX-License-Identifier: Apache-2.0
#include "runtime/dwarf_reader.h"

namespace curg::internal {

void DwarfReader::Fail() noexcept {
  failed_ = true;
  at_ = end_;
}

uint64_t DwarfReader::LongUleb() noexcept {
  uint64_t value = 0;
  for (int shift = 0; !done(); shift += 7) {
    const uint8_t byte = *at_++;
    if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
    if ((byte & 0x80) == 0) return value;
  }
  Fail();
  return 0;
}

int64_t DwarfReader::Sleb() noexcept {
  uint64_t value = 0;
  for (int shift = 0; !done();) {
    const uint8_t byte = *at_++;
    if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
    shift += 7;
    if ((byte & 0x80) != 0) continue;
    if (shift < 64 && (byte & 0x40) != 0) value |= ~uint64_t{0} << shift;
    return static_cast<int64_t>(value);
  }
  Fail();
  return 0;
}

void DwarfReader::Skip(uint64_t bytes) noexcept {
  if (bytes > left()) return Fail();
  at_ += bytes;
}

uintptr_t DwarfReader::Pointer(uint8_t encoding, uintptr_t data_base) noexcept {
  if (encoding == kPointerOmitted) return 0;
  uintptr_t value = 0;
  const auto here = reinterpret_cast<uintptr_t>(at_);
  switch (encoding & 0x0f) {
    case kPointerAbsolute:
    case kPointerUdata8:
    case kPointerSdata8:
      value = U64();
      break;
    case kPointerUleb128:
      value = Uleb();
      break;
    case kPointerSleb128:
      value = static_cast<uintptr_t>(Sleb());
      break;
    case kPointerUdata2:
      value = U16();
      break;
    case kPointerSdata2:
      value = static_cast<uintptr_t>(int64_t{static_cast<int16_t>(U16())});
      break;
    case kPointerUdata4:
      value = U32();
      break;
    case kPointerSdata4:
      value = static_cast<uintptr_t>(int64_t{static_cast<int32_t>(U32())});
      break;
    default:
      Fail();
      return 0;
  }
  switch (encoding & 0x70) {
    case 0:
      break;
    case kPointerPcRelative:
      value += here;
      break;
    case kPointerDataRelative:
      value += data_base;
      break;
    default:
      Fail();
  }
  return failed_ || (encoding & kPointerIndirect) != 0 ? 0 : value;
}

}  // namespace curg::internal
