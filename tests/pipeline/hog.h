// SPDX-License-Identifier: Apache-2.0
//
// Functions that use CPU and are recognised in a stack by their addresses, without symbols.
#pragma once

#include <cstdint>
#include <span>

#include "profiler/cpu_profile.h"

namespace curg::internal {

// Computes for a fixed amount of work, about 20 us. Each function lies in a section of its own.
void HogA();
void HogB();

// Whether a program counter lies in the function.
bool InHogA(uintptr_t pc);
bool InHogB(uintptr_t pc);

// Whether any frame does.
bool HasHogA(const CpuProfileEntry& entry);
bool HasHogB(const CpuProfileEntry& entry);

}  // namespace curg::internal
