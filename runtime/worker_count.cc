// SPDX-License-Identifier: Apache-2.0
#include "runtime/worker_count.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace curg::internal {
namespace {

CgroupFiles& Files() {
  static auto* const files = new CgroupFiles();
  return *files;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<double> Ratio(absl::string_view quota, absl::string_view period) {
  double quota_us, period_us;
  if (!absl::SimpleAtod(quota, &quota_us) || !absl::SimpleAtod(period, &period_us))
    return std::nullopt;
  if (!(quota_us > 0 && period_us > 0)) return std::nullopt;  // v1 says -1 for "no limit"
  return quota_us / period_us;
}

std::optional<double> QuotaOf(const std::string& folder, bool v2) {
  if (!v2) {
    return Ratio(ReadFile(folder + "/cpu.cfs_quota_us"), ReadFile(folder + "/cpu.cfs_period_us"));
  }
  const std::string text = ReadFile(folder + "/cpu.max");  // "max 100000" or "150000 100000"
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  return words.size() == 2 ? Ratio(words[0], words[1]) : std::nullopt;
}

// The least quota from the group `path` up to the hierarchy's root.
std::optional<double> LeastQuota(const std::string& mount, std::string path, bool v2) {
  std::optional<double> least;
  while (true) {
    const std::optional<double> quota = QuotaOf(mount + path, v2);
    if (quota.has_value()) least = std::min(quota.value(), least.value_or(*quota));
    if (path.empty()) return least;
    path.erase(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
  }
}

int CpusInAffinityMask() {
  for (size_t cpus = 1024; cpus <= (size_t{1} << 20); cpus *= 2) {
    cpu_set_t* const set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    // EINVAL: set too small
    const bool fits = sched_getaffinity(0, CPU_ALLOC_SIZE(cpus), set) == 0;
    const int count = fits ? CPU_COUNT_S(CPU_ALLOC_SIZE(cpus), set) : 0;
    CPU_FREE(set);
    if (fits) return std::max(count, 1);
  }
  return 1;
}

absl::StatusOr<int> Checked(int64_t workers, absl::string_view source) {
  if (workers >= 1 && workers <= kWorkersMax) return static_cast<int>(workers);
  return absl::InvalidArgumentError(
      absl::StrCat(source, " asks for ", workers, " workers; choose 1 to ", kWorkersMax));
}

}  // namespace

std::optional<double> CgroupCpuQuota(const std::string& proc_cgroup, const std::string& root) {
  std::optional<double> least;
  for (absl::string_view line : absl::StrSplit(proc_cgroup, '\n', absl::SkipEmpty())) {
    // "0::/a/b" is the v2 hierarchy; "4:cpu,cpuacct:/a/b" one of v1.
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    std::string path(fields[2]);
    if (path == "/") path.clear();
    std::optional<double> quota;
    if (fields[0] == "0" && fields[1].empty()) {
      quota = LeastQuota(root, path, /*v2=*/true);
    } else {
      const std::vector<absl::string_view> controllers = absl::StrSplit(fields[1], ',');
      if (std::find(controllers.begin(), controllers.end(), "cpu") == controllers.end()) continue;
      quota = LeastQuota(root + "/cpu", path, /*v2=*/false);
    }
    if (quota.has_value()) least = std::min(*quota, least.value_or(*quota));
  }
  return least;
}

CgroupFiles ExchangeCgroupFilesForTesting(CgroupFiles files) {
  return std::exchange(Files(), std::move(files));
}

int AvailableCpus() {
  int workers = std::min(CpusInAffinityMask(), kWorkersMax);
  const CgroupFiles& files = Files();
  const std::optional<double> quota = CgroupCpuQuota(ReadFile(files.proc_cgroup), files.root);
  if (quota.has_value() && *quota < workers) workers = static_cast<int>(std::ceil(*quota));
  return workers;
}

bool IsWorkerCountFixed(std::optional<int> option) {
  const char* const text = std::getenv("CURG_WORKERS");
  return option.has_value() || (text != nullptr && *text != '\0');
}

absl::StatusOr<int> WorkerCount(std::optional<int> option) {
  if (option.has_value()) return Checked(*option, "RuntimeOptions::workers");
  if (const char* text = std::getenv("CURG_WORKERS"); text != nullptr && *text != '\0') {
    int64_t workers;
    if (!absl::SimpleAtoi(text, &workers)) {
      return absl::InvalidArgumentError(absl::StrCat("the environment variable CURG_WORKERS is \"",
                                                     text, "\"; set it to a number from 1 to ",
                                                     kWorkersMax));
    }
    return Checked(workers, "the environment variable CURG_WORKERS");
  }
  return AvailableCpus();
}

}  // namespace curg::internal
