// SPDX-License-Identifier: Apache-2.0
//
// The groups of measurements of //tests/benchmark:profiler, each in a file of its own.
#pragma once

#include <string>

#include "tests/benchmark/profiler_report.h"

namespace curg {

struct ProfilerBenchmarkOptions {
  bool quick = false;  // a tenth of the work: to see that it runs, not to believe
};

// The value of --child: what a process does that this program starts as a helper of its own; each
// prints one number a line.
int RunStartChild(const std::string& argument);
int RunIdleChild(bool profile);

using ProfilerGroup = void(const ProfilerBenchmarkOptions& options, ProfilerReport& report);

ProfilerGroup MeasureUnwinding;    // exactness, by single steps and against libunwind; the root
ProfilerGroup MeasureHandler;      // what a sample costs
ProfilerGroup MeasureRing;         // the prof buffer alone
ProfilerGroup MeasureAttribution;  // labels, and plug-ins that come and go
ProfilerGroup MeasureAccuracy;     // the CPU time of profiles against the threads' clocks
ProfilerGroup MeasurePhaseLocked;  // the same of work in step with the kernel's tick
ProfilerGroup MeasureLosses;       // the highest rate with all workers busy
ProfilerGroup MeasureStart;        // tables of a usual program, and of a huge one
ProfilerGroup MeasureMemory;       // rings of 500 threads, distinct stacks
ProfilerGroup MeasureOverhead;     // what the program pays
ProfilerGroup MeasurePeers;        // gperftools and Go

}  // namespace curg
