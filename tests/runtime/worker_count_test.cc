// SPDX-License-Identifier: Apache-2.0
#include "runtime/worker_count.h"

#include <sched.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "runtime/go.h"
#include "runtime/stats.h"
#include "tests/runtime/eventually.h"

namespace curg::internal {
namespace {

class WorkerCountTest : public testing::Test {
 protected:
  WorkerCountTest() { unsetenv("CURG_WORKERS"); }
  ~WorkerCountTest() override { unsetenv("CURG_WORKERS"); }
};

TEST_F(WorkerCountTest, OptionBeforeEnvironmentBeforeMachine) {
  const int detected = WorkerCount(std::nullopt).value();
  EXPECT_GE(detected, 1);
  EXPECT_LE(detected, static_cast<int>(std::thread::hardware_concurrency()));
  setenv("CURG_WORKERS", "17", 1);
  EXPECT_EQ(WorkerCount(std::nullopt).value(), 17);
  EXPECT_EQ(WorkerCount(3).value(), 3);
  setenv("CURG_WORKERS", "", 1);
  EXPECT_EQ(WorkerCount(std::nullopt).value(), detected);
}

TEST_F(WorkerCountTest, BadOptions) {
  for (int bad : {0, -1, 1025, 1 << 30}) {
    const absl::Status status = WorkerCount(bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StrContains(status.message(), "RuntimeOptions::workers")) << status;
  }
  EXPECT_EQ(WorkerCount(1024).value(), 1024);
}

TEST_F(WorkerCountTest, BadEnvironment) {
  for (const char* bad : {"0", "-2", "many", "4x", "1025", "99999999999999999999", "1.5", " "}) {
    setenv("CURG_WORKERS", bad, 1);
    const absl::Status status = WorkerCount(std::nullopt).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_TRUE(absl::StrContains(status.message(), "CURG_WORKERS")) << status;
    EXPECT_EQ(WorkerCount(2).value(), 2);  // not asked
  }
}

TEST_F(WorkerCountTest, AffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before)) continue;
    CPU_SET(cpu, &one);
    break;
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(WorkerCount(std::nullopt).value(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

// A tree of files as the kernel shows one.
class CgroupTest : public testing::Test {
 protected:
  CgroupTest()
      : root_(testing::TempDir() + "/cgroup_" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path full = root_ + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }

  std::optional<double> Quota(const std::string& proc_cgroup) {
    return CgroupCpuQuota(proc_cgroup, root_);
  }

  const std::string root_;
};

TEST_F(CgroupTest, NothingThere) {
  EXPECT_EQ(Quota(""), std::nullopt);
  EXPECT_EQ(Quota("garbage\n0::\n:::\n"), std::nullopt);
  EXPECT_EQ(Quota("0::/a/b\n"), std::nullopt);
}

TEST_F(CgroupTest, SecondVersion) {
  Write("/a/cpu.max", "150000 100000\n");
  EXPECT_EQ(Quota("0::/a\n"), 1.5);
  Write("/b/cpu.max", "max 100000\n");
  EXPECT_EQ(Quota("0::/b\n"), std::nullopt);
  EXPECT_EQ(Quota("0::/\n"), std::nullopt);
  Write("/cpu.max", "50000 100000\n");
  EXPECT_EQ(Quota("0::/\n"), 0.5);
}

TEST_F(CgroupTest, LeastOfTheAncestors) {
  Write("/a/cpu.max", "200000 100000\n");
  Write("/a/b/cpu.max", "max 100000\n");
  Write("/a/b/c/cpu.max", "300000 100000\n");
  EXPECT_EQ(Quota("0::/a/b/c\n"), 2.0);
  EXPECT_EQ(Quota("0::/a/b/c/gone\n"), 2.0);
}

TEST_F(CgroupTest, FirstVersion) {
  Write("/cpu/docker/x/cpu.cfs_quota_us", "250000\n");
  Write("/cpu/docker/x/cpu.cfs_period_us", "100000\n");
  Write("/cpu/docker/cpu.cfs_quota_us", "-1\n");
  Write("/cpu/docker/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Quota("12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n"), 2.5);
  EXPECT_EQ(Quota("3:cpuset:/docker/x\n"), std::nullopt);
}

// In a container the path is the host's, while the root is the container's own group.
TEST_F(CgroupTest, PathOfTheHost) {
  Write("/cpu/cpu.cfs_quota_us", "100000\n");
  Write("/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Quota("4:cpu,cpuacct:/kubepods/pod1/abc\n"), 1.0);
}

TEST_F(CgroupTest, BothVersions) {
  Write("/cpu/g/cpu.cfs_quota_us", "300000\n");
  Write("/cpu/g/cpu.cfs_period_us", "100000\n");
  Write("/g/cpu.max", "200000 100000\n");
  EXPECT_EQ(Quota("4:cpu,cpuacct:/g\n0::/g\n"), 2.0);
}

// A running runtime follows the quota, unless the program or the environment say how many workers.
TEST_F(CgroupTest, ARuntimeFollowsTheQuota) {
  const int cpus = static_cast<int>(WorkerCount(std::nullopt).value());
  if (cpus < 2) GTEST_SKIP() << "one CPU: there is nothing to follow";
  unsetenv("CURG_WORKERS");
  Write("/proc", "0::/service\n");
  Write("/service/cpu.max", "100000 100000\n");
  const CgroupFiles before =
      ExchangeCgroupFilesForTesting({.proc_cgroup = root_ + "/proc", .root = root_});
  {
    auto runtime = Runtime::Create().value();
    auto fixed = Runtime::Create({.workers = 2}).value();
    const auto workers = [&] { return static_cast<int>(runtime->Stats().workers); };
    std::stop_source stop;
    auto awake = runtime->Go([&] {  // it looks while somebody runs
      while (!stop.stop_requested()) SleepFor(std::chrono::milliseconds(1));
    });
    EXPECT_EQ(workers(), 1);
    Write("/service/cpu.max", "200000 100000\n");
    EXPECT_TRUE(Eventually([&] { return workers() == 2; }));
    Write("/service/cpu.max", "50000 100000\n");
    EXPECT_TRUE(Eventually([&] { return workers() == 1; }));
    Write("/service/cpu.max", "max 100000\n");
    EXPECT_TRUE(Eventually([&] { return workers() == cpus; }));
    EXPECT_EQ(fixed->Stats().workers, 2u);
    stop.request_stop();
    awake.Join();
  }
  ExchangeCgroupFilesForTesting(before);
}

TEST_F(CgroupTest, NonsenseIsNoQuota) {
  for (const char* text :
       {"", "x y\n", "0 100000\n", "100000 0\n", "nan 1\n", "1 nan\n", "1 2 3\n"}) {
    Write("/n/cpu.max", text);
    EXPECT_EQ(Quota("0::/n\n"), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace curg::internal
