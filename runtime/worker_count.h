// SPDX-License-Identifier: Apache-2.0
//
// WorkerCount: how many workers a runtime gets.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace curg::internal {

inline constexpr int kWorkersMax = 1024;

// The option if given, else the environment variable CURG_WORKERS, else the CPUs of the affinity
// mask or the cgroup's quota of CPUs, rounded up, whichever is less.
// INVALID_ARGUMENT: option or variable are not 1 to kWorkersMax. Blocks: the thread (reads files).
absl::StatusOr<int> WorkerCount(std::optional<int> option);

// Whether option or environment variable say how many.
bool IsWorkerCountFixed(std::optional<int> option);

// The CPUs of the affinity mask or the cgroup's quota of CPUs, rounded up, whichever is less; at
// most kWorkersMax.
// Blocks: the thread (reads files).
int AvailableCpus();

// Where that is read from.
struct CgroupFiles {
  std::string proc_cgroup = "/proc/self/cgroup";
  std::string root = "/sys/fs/cgroup";
};
// Others from now on; returns those before. While no runtime is there that may look.
CgroupFiles ExchangeCgroupFilesForTesting(CgroupFiles files);

// The least CPU quota (in CPUs) of a process's cgroup and its ancestors, v2 or v1; nullopt: none.
// `proc_cgroup` is the text of /proc/self/cgroup, `root` where the hierarchies are mounted
// ("/sys/fs/cgroup").
std::optional<double> CgroupCpuQuota(const std::string& proc_cgroup, const std::string& root);

}  // namespace curg::internal
