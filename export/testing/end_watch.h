// SPDX-License-Identifier: Apache-2.0
//
// What to do before a signal ends the process: SIGTERM, which Bazel sends to a test that takes too
// long, or a fault or abort of the program's own.
#pragma once

#include <chrono>
#include <functional>

namespace curg::internal {

// When the process gets SIGTERM, SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT, calls `before` with
// the signal's number on a thread of its own, where it may lock, allocate and block; then the
// signal ends the process as it would have (a fault within the fault, with the runtime's report and
// a core of it). Best effort for a fault: whoever has it may hold the very lock that `before`
// needs, so the process ends after `patience` whether or not `before` has. A signal that the
// program handles or ignores, now or later, is left alone; a forked child dies at once. False: the
// kernel refuses. Once a process. Blocks: nothing.
bool WatchForEnd(std::function<void(int signal)> before,
                 std::chrono::nanoseconds patience = std::chrono::seconds(10));

}  // namespace curg::internal
