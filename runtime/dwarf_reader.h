// SPDX-License-Identifier: Apache-2.0
//
// DwarfReader: the bytes of .eh_frame, read front to back and never past their end.
#pragma once

#include <cstddef>
#include <cstdint>

namespace curg::internal {

// DW_EH_PE_*: how a pointer in .eh_frame is written (the low half) and what it counts from.
inline constexpr uint8_t kPointerAbsolute = 0x00;
inline constexpr uint8_t kPointerUleb128 = 0x01;
inline constexpr uint8_t kPointerUdata2 = 0x02;
inline constexpr uint8_t kPointerUdata4 = 0x03;
inline constexpr uint8_t kPointerUdata8 = 0x04;
inline constexpr uint8_t kPointerSleb128 = 0x09;
inline constexpr uint8_t kPointerSdata2 = 0x0a;
inline constexpr uint8_t kPointerSdata4 = 0x0b;
inline constexpr uint8_t kPointerSdata8 = 0x0c;
inline constexpr uint8_t kPointerPcRelative = 0x10;
inline constexpr uint8_t kPointerDataRelative = 0x30;
inline constexpr uint8_t kPointerIndirect = 0x80;
inline constexpr uint8_t kPointerOmitted = 0xff;

// After a read past the end, or of something unknown, failed() is true and everything reads as
// zero.
// Async-signal-safe. Owner only.
class DwarfReader {
 public:
  DwarfReader(const uint8_t* begin, const uint8_t* end) noexcept : at_(begin), end_(end) {}

  const uint8_t* at() const { return at_; }
  bool done() const { return at_ == end_; }
  bool failed() const { return failed_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  void Fail() noexcept;

  uint8_t U8() noexcept { return Fixed<uint8_t>(); }
  uint16_t U16() noexcept { return Fixed<uint16_t>(); }
  uint32_t U32() noexcept { return Fixed<uint32_t>(); }
  uint64_t U64() noexcept { return Fixed<uint64_t>(); }
  // Nearly all are of one byte.
  uint64_t Uleb() noexcept { return !done() && *at_ < 0x80 ? *at_++ : LongUleb(); }
  int64_t Sleb() noexcept;
  void Skip(uint64_t bytes) noexcept;

  // A pointer in the given encoding; `data_base` is what data-relative ones count from. Indirect
  // ones are not followed (only personality routines are written so) but read as zero.
  uintptr_t Pointer(uint8_t encoding, uintptr_t data_base = 0) noexcept;

 private:
  // Little endian, as the machine is.
  template <typename T>
  T Fixed() noexcept {
    T value = 0;
    if (left() < sizeof(T)) {
      Fail();
    } else {
      __builtin_memcpy(&value, at_, sizeof(T));
      at_ += sizeof(T);
    }
    return value;
  }
  uint64_t LongUleb() noexcept;

  const uint8_t* at_;
  const uint8_t* end_;
  bool failed_ = false;
};

}  // namespace curg::internal
