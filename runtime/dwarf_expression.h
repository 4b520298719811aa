// SPDX-License-Identifier: Apache-2.0
//
// DWARF expressions, as far as call frame information uses them on x86-64: recognised when the rule
// is read, never interpreted in the handler. The forms understood are
//
//   reg + c                          saved registers of realigned functions, signal frames
//   *(reg + c) + d                   the CFA of realigned functions, of OpenSSL's assembly
//   rsp + 8 + ((rip & 15) >= n) * 8  the linker's PLT, n = 11 (lazy) or 10, 9, 5 (with endbr, bnd)
//
// Debian's libc, libstdc++, libgcc, libm and vdso hold no others; libcrypto holds three.
#pragma once

#include <cstdint>

#include "runtime/dwarf_reader.h"
#include "runtime/frame_rule.h"

namespace curg::internal {

// Of DW_CFA_def_cfa_expression. kUnknown if it is of another form.
// Async-signal-safe.
CfaRule CfaOfExpression(const uint8_t* begin, const uint8_t* end) noexcept;

// Of DW_CFA_expression (`is_address`: the register is saved there) or DW_CFA_val_expression (it is
// the value itself). kUnknown if it is of another form.
// Async-signal-safe.
ValueRule ValueOfExpression(const uint8_t* begin, const uint8_t* end, bool is_address) noexcept;

}  // namespace curg::internal
