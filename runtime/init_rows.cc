// SPDX-License-Identifier: Apache-2.0
#include "runtime/init_rows.h"

#include <algorithm>
#include <iterator>

namespace curg::internal {
namespace {

constexpr uint8_t kEndBranch[] = {0xf3, 0x0f, 0x1e, 0xfa};  // endbr64
constexpr uint8_t kBegin[] = {0x48, 0x83, 0xec, 0x08};      // sub $8,%rsp
constexpr uint8_t kEnd[] = {0x48, 0x83, 0xc4, 0x08, 0xc3};  // add $8,%rsp; ret
constexpr uintptr_t kBytesMax = 256;

template <size_t kSize>
bool Holds(const uint8_t* at, const uint8_t* end, const uint8_t (&code)[kSize]) {
  return static_cast<size_t>(end - at) >= kSize && std::equal(code, code + kSize, at);
}

FrameRule Plain(int32_t offset) {
  return {.cfa = {.kind = CfaRule::Kind::kRegister, .reg = kDwarfRsp, .offset = offset},
          .return_address = {ValueRule::Kind::kAtCfa, 0, -8}};
}

}  // namespace

bool FindInitRows(uintptr_t pc, uintptr_t end, std::array<InitRow, 3>* rows) {
  if (pc >= end) return false;
  const auto* at = reinterpret_cast<const uint8_t*>(pc);
  const uint8_t* const last = at + std::min(end - pc, kBytesMax);
  if (Holds(at, last, kEndBranch)) at += std::size(kEndBranch);
  if (!Holds(at, last, kBegin)) return false;
  at += std::size(kBegin);
  const uint8_t* const leaves = std::search(at, last, kEnd, kEnd + std::size(kEnd));
  if (leaves == last) return false;
  *rows = {{{pc, Plain(8)},
            {reinterpret_cast<uintptr_t>(at), Plain(16)},
            {reinterpret_cast<uintptr_t>(leaves) + std::size(kBegin), Plain(8)}}};
  return true;
}

}  // namespace curg::internal
