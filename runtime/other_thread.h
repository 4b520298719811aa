// SPDX-License-Identifier: Apache-2.0
//
// What can be learnt of another thread of the process without disturbing it.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "runtime/stack_bounds.h"

namespace curg::internal {

// The clock of one thread's user and system time, as the kernel numbers it.
clockid_t ThreadCpuClock(pid_t tid);

// What it shows, in nanoseconds since the thread began; none where there is no such thread.
// Thread-safe. Async-signal-safe. Blocks: nothing (a system call).
std::optional<int64_t> ThreadCpuNs(pid_t tid);

// Whether the thread sleeps in the kernel: neither executes nor waits for a CPU. Unknown is false.
// Thread-safe. Blocks: the thread, reading /proc.
bool ThreadSleeps(pid_t tid);

// Where a thread that sleeps in a system call has its program counter and stack pointer; the other
// registers are not known. Nothing when it executes, or the kernel does not tell.
// As ThreadSleeps.
std::optional<Registers> RegistersOfSleeper(pid_t tid);

// Copies up to `size` bytes of this process's memory, which may be unmapped or change meanwhile.
// False: it is not mapped, or the system refuses. Thread-safe. Blocks: nothing (a system call).
bool CopyUnstable(void* to, const void* from, size_t size);

}  // namespace curg::internal
