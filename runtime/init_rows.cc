// SPDX-License-Identifier: Apache-2.0
#include "runtime/init_rows.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace curg::internal {
namespace {

constexpr uint8_t kEndBranch[] = {0xf3, 0x0f, 0x1e, 0xfa};  // endbr64
constexpr uintptr_t kBytesMax = 256;

// Code, up to an end.
class Bytes {
 public:
  Bytes(uintptr_t at, uintptr_t end) : at_(at), end_(std::min(end, at + kBytesMax)) {}

  uintptr_t at() const { return at_; }
  uint8_t operator[](size_t i) const { return *reinterpret_cast<const uint8_t*>(at_ + i); }
  bool Has(size_t size) const { return at_ < end_ && end_ - at_ >= size; }
  template <size_t kSize>
  bool Begins(const uint8_t (&code)[kSize]) const {
    if (!Has(kSize)) return false;
    for (size_t i = 0; i < kSize; ++i) {
      if ((*this)[i] != code[i]) return false;
    }
    return true;
  }
  void Skip(size_t size) { at_ += size; }
  void SkipEndBranch() {
    if (Begins(kEndBranch)) Skip(std::size(kEndBranch));
  }

 private:
  uintptr_t at_;
  uintptr_t end_;
};

FrameRule WithSavedRbp() {
  FrameRule rule = FrameAtRsp(16);
  rule.rbp = {ValueRule::Kind::kAtCfa, 0, -16};
  return rule;
}

bool FindCalls(uintptr_t pc, uintptr_t end, InitRows* rows) {
  constexpr uint8_t kBegin[] = {0x48, 0x83, 0xec, 0x08};      // sub $8,%rsp
  constexpr uint8_t kEnd[] = {0x48, 0x83, 0xc4, 0x08, 0xc3};  // add $8,%rsp; ret
  Bytes code(pc, end);
  code.SkipEndBranch();
  if (!code.Begins(kBegin)) return false;
  code.Skip(std::size(kBegin));
  const uintptr_t inside = code.at();
  while (!code.Begins(kEnd)) {
    if (!code.Has(std::size(kEnd))) return false;
    code.Skip(1);
  }
  const uintptr_t left = code.at() + std::size(kBegin);
  *rows = {{{{pc, FrameAtRsp(8)}, {inside, FrameAtRsp(16)}, {left, FrameAtRsp(8)}}}, left + 1};
  return true;
}

// deregister_tm_clones, register_tm_clones, __do_global_dtors_aux, frame_dummy, in this order: all
// of them without a frame but the third one, which saves rbp.
bool FindDestructors(uintptr_t begin, uintptr_t pc, uintptr_t end, InitRows* rows) {
  constexpr uint8_t kLoad[] = {0x48, 0x8d, 0x3d};  // lea ...(%rip),%rdi
  constexpr uintptr_t kBefore = 0x70;              // from the first function to the third
  constexpr uintptr_t kAlignment = 16;
  Bytes code(pc, end);
  code.SkipEndBranch();
  // cmpb $0,completed(%rip); jne to a ret; push %rbp
  constexpr size_t kPush = 9;
  if (!code.Has(kPush + 1) || code[0] != 0x80 || code[1] != 0x3d || code[6] != 0) return false;
  if (code[7] != 0x75 || code[8] >= kBytesMax / 4 || code[kPush] != 0x55) return false;
  const uintptr_t other_end = code.at() + kPush + code[8] + 1;
  const uintptr_t inside = code.at() + kPush + 1;
  // movb $1,completed(%rip); pop %rbp; ret
  const auto leaves = [&] {
    return code[0] == 0xc6 && code[1] == 0x05 && code[6] == 1 && code[7] == 0x5d && code[8] == 0xc3;
  };
  for (code.Skip(kPush + 1);; code.Skip(1)) {
    if (!code.Has(9)) return false;
    if (leaves()) break;
  }
  const uintptr_t left = code.at() + 8;
  uintptr_t last = std::max(left + 1, other_end);
  Bytes dummy((last + kAlignment - 1) & ~(kAlignment - 1), end);
  dummy.SkipEndBranch();
  if (dummy.Has(5) && dummy[0] == 0xe9) last = dummy.at() + 5;  // jmp register_tm_clones
  const bool first = pc - begin >= kBefore && Bytes(pc - kBefore, end).Begins(kLoad);
  *rows = {{{{first ? pc - kBefore : pc, FrameAtRsp(8)},
             {inside, WithSavedRbp()},
             {left, FrameAtRsp(8)}}},
           last};
  return true;
}

}  // namespace

bool FindInitRows(uintptr_t begin, uintptr_t pc, uintptr_t end, InitRows* rows) {
  if (pc < begin || pc >= end) return false;
  return FindCalls(pc, end, rows) || FindDestructors(begin, pc, end, rows);
}

}  // namespace curg::internal
