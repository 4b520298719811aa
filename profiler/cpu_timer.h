// SPDX-License-Identifier: Apache-2.0
//
// CPU timers, one of the sampling engines, and the SIGPROF disposition.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "profiler/sample_source.h"

namespace curg::internal {

// Makes OnSigprof the process's SIGPROF handler (on the alternate stack where a thread has one,
// restarting system calls), if it is not that now; what was the handler before gets the signals
// that are not ours. It stays for good: a late signal must never meet the default action, which
// kills.
//
// It asks the kernel itself: under the thread sanitizer the library's function would wrap the
// handler in one that runs late and with a stale context.
// Thread-safe. One caller at a time. Not async-signal-safe.
absl::Status InstallSigprof();

// A timer on the CPU clock of thread `tid` of this process, whose SIGPROF goes to that thread and
// carries `ticket`; one signal may stand for several periods (si_overrun). Works for the calling
// thread and for others alike.
// RESOURCE_EXHAUSTED when the kernel has no more of them (they count as pending signals:
// RLIMIT_SIGPENDING), NOT_FOUND when there is no such thread.
// Thread-safe. Not async-signal-safe.
absl::StatusOr<std::unique_ptr<SampleSource>> NewCpuTimer(pid_t tid, uint64_t ticket);

// User and system time of all threads of this process, ended ones included. Of those that run now,
// the kernel counts up to its last tick, or up to when somebody last asked for theirs. Thread-safe.
int64_t ProcessCpuNs();

}  // namespace curg::internal
