// SPDX-License-Identifier: Apache-2.0
#include "examples/wordcount/phase.h"

#include <time.h>

#include <atomic>
#include <cstddef>

namespace wordcount {
namespace {

bool g_measured = false;  // written before there are tasks
std::array<std::atomic<int64_t>, kPhases.size()> g_phase_ns;

int64_t ThreadCpuNs() {
  if (!g_measured) return 0;
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

std::string_view PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kRead:
      return "read";
    case Phase::kTokenize:
      return "tokenize";
    case Phase::kMerge:
      return "merge";
  }
  return "?";
}

curg::Labels PhaseLabels(Phase phase, std::string_view ext) {
  return curg::Labels::Of({{"phase", PhaseName(phase)}, {"ext", ext}});
}

void MeasurePhases() { g_measured = true; }

PhaseTimes MeasuredPhases() {
  PhaseTimes times;
  for (size_t i = 0; i < times.size(); ++i) {
    times[i] = g_phase_ns[i].load(std::memory_order_relaxed);  // relaxed: a sum
  }
  return times;
}

PhaseScope::PhaseScope(Phase phase, std::string_view ext)
    : labels_({{"phase", PhaseName(phase)}, {"ext", ext}}),
      phase_(phase),
      start_ns_(ThreadCpuNs()) {}

PhaseScope::~PhaseScope() { EndStretch(); }

void PhaseScope::Switch(Phase phase) {
  if (phase == phase_) return;
  EndStretch();
  phase_ = phase;
  curg::SetLabels(curg::CurrentLabels().With({{"phase", PhaseName(phase)}}));
}

void PhaseScope::EndStretch() {
  if (!g_measured) return;
  const int64_t now_ns = ThreadCpuNs();
  g_phase_ns[static_cast<size_t>(phase_)].fetch_add(now_ns - start_ns_,
                                                    std::memory_order_relaxed);  // relaxed: a sum
  start_ns_ = now_ns;
}

}  // namespace wordcount
