// SPDX-License-Identifier: Apache-2.0
//
// Unwind rows for the functions that the C library's and the compiler's start files put into every
// module, and that carry no call frame information. Code of another form is not recognised: no rows
// then, never wrong ones.
//
//   _init, _fini            calls (libcrypto sets itself up in its own), between an adjustment of
//                           the stack pointer at the beginning and its inverse at the end
//   __do_global_dtors_aux   the first of the module's functions to run at its end: calls the
//                           destructors of its static objects; beside it, functions without frames
#pragma once

#include <array>
#include <cstdint>

#include "runtime/frame_rule.h"

namespace curg::internal {

struct InitRow {
  uintptr_t pc = 0;
  FrameRule rule;
};

struct InitRows {
  std::array<InitRow, 3> rows;
  uintptr_t end = 0;  // where the last of them no longer holds
};

// Rows for the function at `pc`, and for those beside it, in the readable memory [begin, end).
// False: it is of another form.
// Thread-safe. Blocks: nothing.
bool FindInitRows(uintptr_t begin, uintptr_t pc, uintptr_t end, InitRows* rows);

}  // namespace curg::internal
