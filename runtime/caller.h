// SPDX-License-Identifier: Apache-2.0
//
// What an API knows of its caller, and how it speaks of one who uses it wrongly.
#pragma once

#include <cstdint>
#include <string>

namespace curg::internal {

// The caller in words: `task 12 "reader"`, `task 12`, or `plain thread 4711` (the kernel's number).
std::string CallerName();

// Stands for the caller, task or plain thread, among all that are alive.
const void* CallerToken();

// Whether the caller, by spinning a little, may see somebody on another worker move on.
bool OthersMayRun();

// Whether no task stands in line for the caller's worker, so that it may spin for microseconds.
// One in run next does not count: others take it when it has waited as long.
bool NobodyWaitsForWorker();

// A random number in [0, bound), of this thread's own cheap generator. Requires: bound > 0.
uint32_t RandomBelow(uint32_t bound);

// Prints "<caller>: <what it did>" on standard error and aborts: for misuse after which the
// object's state is anybody's guess, or which is met where nothing may throw.
[[noreturn]] void FatalMisuse(const char* what);

}  // namespace curg::internal
