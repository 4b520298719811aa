// SPDX-License-Identifier: Apache-2.0
//
// CPU timers and the SIGPROF disposition: every timer and signal system call of the profiler.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace curg::internal {

// The kernel's id of a timer.
using CpuTimer = int;

// Makes OnSigprof the process's SIGPROF handler (on the alternate stack where a thread has one,
// restarting system calls), if it is not that now; what was the handler before gets the signals
// that are not ours. It stays for good: a late signal must never meet the default action, which
// kills.
//
// It asks the kernel itself: under the thread sanitizer the library's function would wrap the
// handler in one that runs late and with a stale context.
// Thread-safe. One caller at a time. Not async-signal-safe.
absl::Status InstallSigprof();

// A disarmed timer on the CPU clock of thread `tid` of this process, whose SIGPROF goes to that
// thread and carries `ticket`. Works for the calling thread and for others alike.
// RESOURCE_EXHAUSTED when the kernel has no more of them (they count as pending signals:
// RLIMIT_SIGPENDING), NOT_FOUND when there is no such thread.
// Thread-safe. Not async-signal-safe.
absl::StatusOr<CpuTimer> CreateCpuTimer(pid_t tid, uint64_t ticket);

// From when on a thread's CPU time counts.
enum class CountFrom : uint8_t {
  kNow,
  kBirth,  // what it has used already comes as overruns of the first signal, at once
};

// Lets it fire when its thread has run for `first_ns` (counted from `from`), and every `period_ns`
// from then on.
void StartCpuTimer(CpuTimer timer, CountFrom from, int64_t first_ns, int64_t period_ns);

// True when the thread of a started timer is gone, even if its id belongs to another by now.
bool CpuTimerThreadGone(CpuTimer timer);

// A signal that it sent before may still arrive on some kernels.
void DeleteCpuTimer(CpuTimer timer);

}  // namespace curg::internal
