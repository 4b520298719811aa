// SPDX-License-Identifier: Apache-2.0
//
// CpuAccounting: exact CPU time by task and by tag (label set), for as long as somebody wants to
// know.
//
//   curg::CpuAccounting accounting;
//   ... run tasks ...
//   for (const auto& [tag, cpu] : accounting.Read().tags) ...
//
// While any CpuAccounting lives, each task switch and each change of tag reads the time-stamp
// counter (20 ns), and every 100 us the thread's CPU clock (0.4 us), so that the sums add up to CPU
// time, not wall time. When there is none, a switch pays one branch.
#pragma once

#include <chrono>
#include <vector>

#include "runtime/tag.h"

namespace curg {

// What the workers' threads spent, of all runtimes of the process.
struct CpuUse {
  struct OfTag {
    TagRef tag;  // empty: tasks without one
    std::chrono::nanoseconds cpu{0};
  };
  std::vector<OfTag> tags;              // the most expensive first
  std::chrono::nanoseconds runtime{0};  // switching, searching, the runtime's own tasks
  std::chrono::nanoseconds other{0};    // tags beyond 65,536 different ones
  // Of tasks that have run without a switch up to now, and is not in the other sums yet. These are
  // charged to their tasks and tags at the next switch.
  std::chrono::nanoseconds in_flight{0};
};

// Thread-safe. Not async-signal-safe. Any number may live at a time.
class CpuAccounting {
 public:
  // Blocks: the thread, for a lock.
  CpuAccounting();
  ~CpuAccounting();
  CpuAccounting(const CpuAccounting&) = delete;
  CpuAccounting& operator=(const CpuAccounting&) = delete;

  // What was spent since this object was made. Blocks: the thread, for a lock and a system call a
  // worker.
  CpuUse Read() const;

 private:
  struct Baseline;
  const Baseline* const baseline_;
};

// The CPU time of the calling task while any CpuAccounting was alive, up to now; 0 on a plain
// thread. That of others is in task dumps (TaskRecord::cpu).
// Thread-safe. Blocks: nothing.
std::chrono::nanoseconds CurrentTaskCpuTime();

}  // namespace curg
