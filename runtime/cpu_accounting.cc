// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_accounting.h"

#include <algorithm>
#include <utility>

#include "runtime/cpu_meter.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"

namespace curg {

struct CpuAccounting::Baseline {
  internal::CpuTotals totals;
};

CpuAccounting::CpuAccounting()
    : baseline_([] {
        internal::CpuMeter::Start(internal::CpuMeter::Wish::kTagsAndTasks);
        return new Baseline{internal::CpuMeter::Read()};
      }()) {}

CpuAccounting::~CpuAccounting() {
  delete baseline_;
  internal::CpuMeter::Stop(internal::CpuMeter::Wish::kTagsAndTasks);
}

CpuUse CpuAccounting::Read() const {
  using std::chrono::nanoseconds;
  const internal::CpuTotals& before = baseline_->totals;
  internal::CpuTotals now = internal::CpuMeter::Read();
  CpuUse use;
  use.runtime = nanoseconds(now.runtime_ns - before.runtime_ns);
  use.other = nanoseconds(now.other_ns - before.other_ns);
  use.in_flight = nanoseconds(now.in_flight_ns);
  for (auto& [tag, sum] : now.tags) {
    const auto found = before.tags.find(tag);
    const int64_t ns = sum.ns - (found != before.tags.end() ? found->second.ns : 0);
    if (ns > 0) use.tags.push_back({.tag = std::move(sum.tag), .cpu = nanoseconds(ns)});
  }
  std::sort(use.tags.begin(), use.tags.end(),
            [](const auto& a, const auto& b) { return a.cpu > b.cpu; });
  return use;
}

std::chrono::nanoseconds CurrentTaskCpuTime() {
  internal::ThreadState& thread = internal::ThisThread();
  internal::Task* const task = thread.current.load(std::memory_order_relaxed);
  if (task == nullptr) return std::chrono::nanoseconds(0);
  if (thread.meter != nullptr) {
    thread.meter->Charge(*task, task->tag.load(std::memory_order_relaxed));
  }
  return std::chrono::nanoseconds(task->cpu_ns.load(std::memory_order_relaxed));
}

}  // namespace curg
