// SPDX-License-Identifier: Apache-2.0
//
// What to do before SIGTERM, which Bazel sends to a test that takes too long, ends the process.
#pragma once

#include <functional>

namespace curg::internal {

// When the process gets SIGTERM, calls `before` on a thread of its own, where it may lock, allocate
// and block; then the signal ends the process as it would have. A program that handles or ignores
// SIGTERM, now or later, is left alone; a forked child dies at once. False: SIGTERM is handled
// already, or the kernel refuses. Once a process. Blocks: nothing.
bool WatchForTerm(std::function<void()> before);

}  // namespace curg::internal
