// SPDX-License-Identifier: Apache-2.0
//
// CpuProfile: what a finished CPU profile is. A plain value; it needs neither the profiler nor the
// program's state to be read, and crosses into export/ as it is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "runtime/tag.h"

namespace curg {

// Whose time a sample is.
enum class SampleKind : uint8_t {
  kTask,        // a user task was current
  kRuntime,     // a runtime thread with no user task: scheduler, profile writer
  kForeign,     // a thread the runtime does not know
  kLost,        // samples that found no room; the stack is the pseudo frame curg::LostSamples
  kOverflow,    // samples whose (stack, tag) exceeded the bounded map: curg::OverflowBucket
  kNotSampled,  // counted, but no sample says where: curg::NotSampled; the tag where that is known
};

// Counts of one (stack, tag, kind), and of one task where that was asked for.
struct CpuProfileEntry {
  // Leaf first; pcs[0] is an instruction, all others are return addresses (subtract one to find the
  // call). A pseudo frame (profiler/pseudo_frames.h) is the address of a real, empty function.
  std::vector<uintptr_t> pcs;
  TagRef tag;  // may be empty
  SampleKind kind = SampleKind::kTask;
  uint64_t task_id = 0;    // whose; 0: not asked for (CpuProfileOptions::task_ids), or no one
                           // task's
  bool truncated = false;  // deeper than recorded: the root is missing
  int64_t samples = 0;     // signals
  int64_t weight = 0;      // CPU time in nanoseconds, or what else the profile's unit says
};

// An executable mapping of the process while it was profiled.
struct CpuProfileMapping {
  uintptr_t start = 0;
  uintptr_t limit = 0;
  uintptr_t offset = 0;     // in the file
  uintptr_t load_bias = 0;  // address in the process minus address in the ELF file
  std::string path;         // as the kernel names it; "[vdso]" for the vdso
  std::string build_id;     // lower-case hexadecimal; empty when there is none

  friend bool operator==(const CpuProfileMapping&, const CpuProfileMapping&) = default;
};

// How well it went. "On, but recorded nothing" must be impossible to miss.
struct CpuProfileQuality {
  std::string engine;              // "posix-cpu-timer"
  std::vector<std::string> notes;  // fallbacks and refusals, one sentence each
  int64_t samples = 0;             // recorded signals
  int64_t overruns = 0;            // periods that had no signal of their own
  int64_t lost_samples = 0;        // signals that found no room
  int64_t lost_weight = 0;         // the time those stand for
  int64_t filtered_weight = 0;     // of others, which this profile was not asked for
  // What no signal carried, but the threads' counters said: given to the samples around it, or,
  // where there were none, to curg::NotSampled.
  int64_t counted_weight = 0;
  // Of that, what threads used that nobody saw (curg::UnseenThreads): the process's CPU clock says
  // so. Only where it is more than a period, and than what reading all clocks leaves uncertain.
  int64_t unseen_weight = 0;
  // Label totals are the exact ones (runtime/cpu_accounting.h) of so many label sets, 0: they are
  // sampled; and what had to be moved between label sets, or added, for that.
  int64_t exact_tags = 0;
  int64_t moved_weight = 0;
  // But so much of the runtime's threads' time is sampled only: no task had labels then, or there
  // were too many changes of label sets to count.
  int64_t unmetered_weight = 0;
  int64_t stale_signals = 0;     // signals of timers that were gone already; ignored
  int64_t overflow_samples = 0;  // signals counted in the map's overflow bucket
  int64_t truncated = 0;         // stacks deeper than recorded
  int64_t failed_unwinds = 0;    // stacks that ended before their root: the sum of the next three
  int64_t failed_no_row = 0;     // ... in code without unwind information
  int64_t failed_bad_frame = 0;  // ... at a frame outside of its stack
  int64_t failed_no_bounds = 0;  // ... at the leaf: nobody knows where that stack is
  int64_t switches = 0;          // samples in the few instructions of a task switch
  int64_t threads = 0;           // threads that were armed
  int64_t threads_refused = 0;   // threads whose timer the kernel refused
  absl::Duration cpu_time;       // process user + system CPU, from start to the last disarming
};

// Thread-compatible, as any value.
struct CpuProfile {
  std::string event = "cpu";         // what weights count ...
  std::string unit = "nanoseconds";  // ... and in what
  int64_t period_ns = 0;             // CPU time between samples, at the highest rate there was
  absl::Time start;
  absl::Duration duration;  // wall clock
  std::vector<CpuProfileEntry> entries;
  std::vector<CpuProfileMapping> mappings;
  CpuProfileQuality quality;
};

}  // namespace curg
