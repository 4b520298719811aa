// SPDX-License-Identifier: Apache-2.0
//
// perf_event sampling engines: the task clock, and hardware counters.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "profiler/cpu_engine.h"
#include "profiler/sample_source.h"

namespace curg::internal {

// A perf event on thread `tid` of this process, whose SIGPROF goes to that thread; the handler
// finds `ticket` by the descriptor that the signal names. Works for the calling thread and for
// others. The signal of an event does not say how many there were: signals that merge are made up
// for by the counter (thread_credit.h).
//
// For hardware events `period` is still a time: the kernel keeps to the rate, and Count counts
// events.
//
// `descriptors_max`: refuses to use a descriptor of that number or above.
// Errors: PERMISSION_DENIED (kernel.perf_event_paranoid, seccomp), UNIMPLEMENTED (no perf events),
// UNAVAILABLE (the machine has no such counter), RESOURCE_EXHAUSTED (descriptors), NOT_FOUND (no
// such thread). The messages say what would help.
// Requires: `engine` is one of perf's. Thread-safe. Not async-signal-safe.
absl::StatusOr<std::unique_ptr<SampleSource>> NewPerfEvent(CpuEngine engine, pid_t tid,
                                                           uint64_t ticket, int64_t period_ns,
                                                           int descriptors_max);

// Whether `engine` counts time, not events.
bool CountsTime(CpuEngine engine);

}  // namespace curg::internal
