// SPDX-License-Identifier: Apache-2.0
//
// Unwind rows for Boost.Context 1.81's switch. Its three assembly functions carry no call frame
// information, so they are recognised by their machine code, wherever and however often they are
// linked (shared, static, inside somebody's plug-in), and given rows written by hand. Code that
// differs in one byte is not recognised: no rows then, never wrong ones.
//
//   make_fcontext   its tail is the return address of every task's entry: a walk ends there
//   jump_fcontext   until rsp moves, the frame is the old stack's; from then on the new one's
//   ontop_fcontext  the same, entering a function on top of the new stack
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/frame_rule.h"

namespace curg::internal {

struct FcontextRow {
  uint32_t offset;  // from the beginning of the function; holds to the next row, or to the end
  FrameRule rule;
};

// One recognised function.
struct FcontextFunction {
  const char* name = nullptr;
  std::span<const uint8_t> code;
  std::span<const FcontextRow> rows;
};

// The first of the functions that lies entirely in [begin, end), readable memory; `*at` is its
// address. Null: none does.
// Thread-safe. Blocks: nothing.
const FcontextFunction* FindFcontextFunction(uintptr_t begin, uintptr_t end, uintptr_t* at);

}  // namespace curg::internal
