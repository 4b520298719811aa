// SPDX-License-Identifier: Apache-2.0
//
// SliceWatch: sysmon's eye on tasks that keep their worker for long. A *slice* is what a task runs
// without parking, yielding or ending.
//
// A slice is long when the thread has executed for the threshold since the slice was first seen, by
// the thread's own CPU clock: time for which the kernel let others run is not the task's fault. Or
// when it was first seen so long ago and the thread sleeps in a system call: a task that blocks its
// thread keeps the worker as well as one that computes.
//
// By default only slices are reported during which other work waited for a worker, or had a surplus
// worker started for it: in a batch program that has nothing else to do, a long slice does no harm.
//
// A thread that executes is asked for its stack (slice_probe.h); one that sleeps is not disturbed,
// and what can be had of it from outside is its innermost frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/processor.h"
#include "runtime/reporter.h"
#include "runtime/slice_probe.h"
#include "runtime/worker.h"

namespace curg::internal {

// Owner only: sysmon.
class SliceWatch {
 public:
  // A threshold of 0: watches nothing. `always`: also reports slices during which nothing waited.
  SliceWatch(int64_t threshold_ns, bool always, int reports_a_minute)
      : threshold_ns_(threshold_ns), always_(always), reports_a_minute_(reports_a_minute) {}
  SliceWatch(const SliceWatch&) = delete;
  SliceWatch& operator=(const SliceWatch&) = delete;
  ~SliceWatch();

  // Looks at processor number `index`; `work_waits` says whether any work waits for a worker,
  // whichever. Blocks: the thread, microseconds; the reporter.
  void Look(size_t index, Processor& processor, bool work_waits, int64_t now);

  // Whether a thread was asked that has not answered.
  bool pending() const { return question_ != 0; }

  // How often to look, so that what is long is seen before it is twice as long; no more than
  // `period_ns`.
  int64_t Period(int64_t period_ns) const;

 private:
  struct Slice {
    uint32_t tick = 0;
    bool done = false;     // reported, or counted as not reported
    bool matters = false;  // work has waited meanwhile
    int64_t since = 0;     // when first seen
    int64_t cpu = 0;       // the thread's CPU time then
  };

  bool IsLong(const Slice& slice, const Worker& worker, int64_t now, bool* sleeps);
  bool MayReport(int64_t now);
  void Collect(Slice& slice, Processor& processor, int64_t now);
  bool IsSilent(const Worker& worker, int64_t now) const;
  void Report(const Slice& slice, const SliceAnswer& answer, int64_t now);
  void ReportUndisturbed(Slice& slice, Processor& processor, int64_t now);
  void Deliver(LongSliceReport& report, int64_t now);

  const int64_t threshold_ns_;
  const bool always_;
  const int reports_a_minute_;
  std::vector<Slice> slices_;
  uint32_t question_ = 0;  // to SliceProbe; 0: none
  size_t asked_ = 0;       // the processor it was put to
  int64_t asked_at_ = 0;
  int64_t asked_cpu_ = 0;      // its worker's CPU time then
  std::vector<int64_t> sent_;  // when reports were made, in the last minute
  uint64_t unreported_ = 0;
};

}  // namespace curg::internal
