// SPDX-License-Identifier: Apache-2.0
//
// Functions that are recognised in a stack by their addresses, without symbols.
#pragma once

#include <cstdint>

namespace curg::internal {

inline constexpr int kStormKinds = 4;
inline constexpr int kStormPhases = 4;

// Calls `body(arg)` from the function of that kind, or phase.
void CallAsKind(int kind, void (*body)(void*), void* arg);
void CallInPhase(int phase, void (*body)(void*), void* arg);

// Of which kind's (phase's) function an instruction is; -1: none's.
int StormKindAt(uintptr_t pc);
int StormPhaseAt(uintptr_t pc);

}  // namespace curg::internal
