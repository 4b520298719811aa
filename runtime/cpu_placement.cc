// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_placement.h"

#include <cpuid.h>

#include <cstring>

namespace curg::internal {
namespace {

bool UnderHypervisor() {
  unsigned int a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 31 & 1) != 0;
}

}  // namespace

bool CpuPlacement::Needed() {
  static const bool needed = UnderHypervisor();
  return needed;
}

bool CpuPlacement::IsBehind(int here) const {
  // How long an idle CPU is still waited for by the host, and so looks idle to the guest (KVM: 50
  // to 200 us).
  constexpr int64_t kLooksIdleNs = 50'000;
  if (here < 0) return false;
  return cpu_ == here || TickClock::ToNs(TickClock::Now() - since_) > kLooksIdleNs;
}

// More CPUs than a cpu_set_t has, or a sandbox that refuses: then all stays as it is.
void CpuPlacement::Avoid(int here, pid_t tid) {
  if (sched_getaffinity(tid, sizeof(before_), &before_) != 0) return;
  cpu_set_t others = before_;
  CPU_CLR(here, &others);
  if (CPU_COUNT(&others) == 0) return;
  restricted_ = sched_setaffinity(tid, sizeof(others), &others) == 0;
}

// A thread that nobody had restricted is given all CPUs, not those it has now: else it would not
// get those that its cpuset is given later.
void CpuPlacement::Restore() {
  restricted_ = false;
  cpu_set_t all;
  std::memset(&all, 0xff, sizeof(all));
  cpu_set_t allowed;
  if (sched_setaffinity(0, sizeof(all), &all) == 0 &&
      sched_getaffinity(0, sizeof(allowed), &allowed) == 0 && CPU_EQUAL(&allowed, &before_)) {
    return;
  }
  sched_setaffinity(0, sizeof(before_), &before_);
}

}  // namespace curg::internal
