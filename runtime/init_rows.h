// SPDX-License-Identifier: Apache-2.0
//
// Unwind rows for _init and _fini, which every module has and which carry no call frame
// information. What the C library's start files and others put there (libcrypto sets itself up in
// it) are calls, between an adjustment of the stack pointer at the beginning and its inverse at the
// end. Code of another form is not recognised: no rows then, never wrong ones.
#pragma once

#include <array>
#include <cstdint>

#include "runtime/frame_rule.h"

namespace curg::internal {

struct InitRow {
  uintptr_t pc = 0;
  FrameRule rule;
};

// Rows for the function at `pc`, in readable memory that ends at `end`; the last one holds for its
// last byte. False: it is of another form.
// Thread-safe. Blocks: nothing.
bool FindInitRows(uintptr_t pc, uintptr_t end, std::array<InitRow, 3>* rows);

}  // namespace curg::internal
