// SPDX-License-Identifier: Apache-2.0
//
// perf events where the kernel permits them, and what is said and done where it does not. What
// takes rights away is tried in a child process, so that it binds nobody else.
#include "profiler/perf_event.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "profiler/cpu_timer.h"
#include "profiler/sampler.h"
#include "tests/profiler/burn.h"

namespace curg::internal {
namespace {

using std::chrono::milliseconds;

constexpr int kAnyDescriptor = 1 << 20;

absl::Status Try(CpuEngine engine) {
  return NewPerfEvent(engine, gettid(), 0, 1'000'000, kAnyDescriptor).status();
}

// In the child: says what is wrong and ends.
void Require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "in the child: %s\n", what.c_str());
  _exit(1);
}

// Whether `body` ran to its end in a child process, in which all Requires held.
bool InChild(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = -1;
  return waitpid(child, &status, 0) == child && status == 0;
}

void BecomeNobody() {
  constexpr id_t kNobody = 65534;
  if (getuid() != 0) return;
  Require(setgroups(0, nullptr) == 0 && setgid(kNobody) == 0 && setuid(kNobody) == 0, "setuid");
}

int Paranoia() {
  int level = 2;
  std::ifstream("/proc/sys/kernel/perf_event_paranoid") >> level;
  return level;
}

// Makes perf_event_open fail with `error` in this process.
void Forbid(int error) {
  const auto answer = static_cast<unsigned>(SECCOMP_RET_ERRNO | (error & SECCOMP_RET_DATA));
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, answer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = 4, .filter = filter};
  Require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
              prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0,
          "seccomp");
}

// An automatic choice comes to timers, says why, and samples.
void RequireTimersInstead(const std::string& why) {
  Sampler& sampler = Sampler::Get();
  Require(sampler.Start({.period_ns = 1'000'000, .engine = CpuEngine::kAuto}).ok(), "start");
  int64_t samples = 0;
  const auto enough = [&] {
    sampler.ForEachThread([&samples](ThreadSampler& thread, bool) {
      ProfHeader header;
      std::span<const uintptr_t> pcs;
      while (thread.buffer->Read(header, pcs)) ++samples;
    });
    return samples > 3;
  };
  Require(BurnCpuUntil(enough), "samples");
  sampler.Stop();
  const SamplerCounts counts = sampler.counts();
  Require(counts.engine == "posix-cpu-timer", counts.engine);
  Require(counts.threads_refused == 0, counts.refusal);
  Require(counts.fallback.find(why) != std::string::npos, counts.fallback);
}

TEST(PerfEvent, CountsTheThreadsCpuTime) {
  const auto event = NewPerfEvent(CpuEngine::kPerfUser, gettid(), 0, 10'000'000, kAnyDescriptor);
  if (!event.ok()) GTEST_SKIP() << event.status();
  const std::chrono::nanoseconds starts = ThreadCpu();
  (*event)->Start(1, 1'000'000'000);
  const std::chrono::nanoseconds runs = ThreadCpu();
  BurnCpu(milliseconds(50));
  const std::chrono::nanoseconds least = ThreadCpu() - runs;
  const std::chrono::nanoseconds count((*event)->Count().value());
  EXPECT_GT(count, least - milliseconds(2));
  EXPECT_LT(count, ThreadCpu() - starts + milliseconds(2));
  EXPECT_FALSE((*event)->ThreadGone());
}

TEST(PerfEvent, TellsTheCountAfterTheThreadsEnd) {
  absl::StatusOr<std::unique_ptr<SampleSource>> event = absl::UnknownError("");
  std::chrono::nanoseconds used{0};
  std::thread([&event, &used] {
    event = NewPerfEvent(CpuEngine::kPerfUser, gettid(), 0, 10'000'000, kAnyDescriptor);
    if (!event.ok()) return;
    (*event)->Start(1, 1'000'000'000);
    BurnCpu(milliseconds(30));
    used = ThreadCpu();
  }).join();
  if (!event.ok()) GTEST_SKIP() << event.status();
  // The kernel forgets a thread a moment after it was joined.
  for (int i = 0; i < 12'000 && !(*event)->ThreadGone(); ++i) usleep(5000);
  EXPECT_TRUE((*event)->ThreadGone());
  const std::chrono::nanoseconds count((*event)->Count().value_or(0));
  EXPECT_GT(count, milliseconds(29));
  EXPECT_LT(count, used + milliseconds(10));
}

TEST(PerfEvent, HardwareEventsAreThereOrSaidNotToBe) {
  for (const CpuEngine engine :
       {CpuEngine::kCycles, CpuEngine::kInstructions, CpuEngine::kCacheMisses}) {
    const auto event = NewPerfEvent(engine, gettid(), 0, 1'000'000, kAnyDescriptor);
    EXPECT_FALSE(CountsTime(engine));
    if (event.ok()) {
      (*event)->Start(1, 1'000'000);
      BurnCpu(milliseconds(20));
      EXPECT_GT((*event)->Count().value(), 0) << EngineName(engine);
      continue;
    }
    EXPECT_TRUE(absl::IsUnavailable(event.status()) || absl::IsPermissionDenied(event.status()) ||
                absl::IsUnimplemented(event.status()))
        << event.status();
  }
}

TEST(PerfEvent, RefusesThreadsThatAreNot) {
  if (!Try(CpuEngine::kPerfUser).ok()) GTEST_SKIP();
  pid_t gone = 0;
  std::thread([&gone] { gone = gettid(); }).join();
  const auto event = [gone] {
    return NewPerfEvent(CpuEngine::kPerfUser, gone, 0, 1'000'000, kAnyDescriptor).status();
  };
  for (int i = 0; i < 12'000 && event().ok(); ++i) usleep(5000);
  EXPECT_TRUE(absl::IsNotFound(event())) << event();
}

TEST(PerfEvent, WithoutPrivilegesItDependsOnTheKernelsParanoia) {
  EXPECT_TRUE(InChild([] {
    BecomeNobody();
    const int level = Paranoia();
    const absl::Status with_kernel = Try(CpuEngine::kPerf);
    const absl::Status user_only = Try(CpuEngine::kPerfUser);
    if (level <= 1) {
      Require(with_kernel.ok(), with_kernel.ToString());
    } else {
      Require(absl::IsPermissionDenied(with_kernel), with_kernel.ToString());
      Require(with_kernel.message().find("perf_event_paranoid is " + std::to_string(level)) !=
                  absl::string_view::npos,
              with_kernel.ToString());
      RequireTimersInstead("perf_event_paranoid");
    }
    // Some distributions' kernels have a level above 2 that forbids everything.
    Require(user_only.ok() || level > 2, user_only.ToString());
  }));
}

// EPERM is what container runtimes' filters say, EACCES what the kernel does where
// perf_event_paranoid is too high.
TEST(PerfEvent, ASeccompFilterThatForbidsItIsNoObstacle) {
  for (const int error : {EPERM, EACCES}) {
    EXPECT_TRUE(InChild([error] {
      Forbid(error);
      for (const CpuEngine engine : {CpuEngine::kPerf, CpuEngine::kPerfUser}) {
        const absl::Status status = Try(engine);
        Require(absl::IsPermissionDenied(status), status.ToString());
        Require(status.message().find("seccomp") != absl::string_view::npos, status.ToString());
        const absl::Status forced = Sampler::Get().Start({.engine = engine});
        Require(absl::IsPermissionDenied(forced), forced.ToString());
      }
      RequireTimersInstead("seccomp");
    }));
  }
}

TEST(PerfEvent, AKernelWithoutItIsNoObstacle) {
  EXPECT_TRUE(InChild([] {
    Forbid(ENOSYS);
    const absl::Status status = Try(CpuEngine::kPerf);
    Require(absl::IsUnimplemented(status), status.ToString());
    const absl::Status forced = Sampler::Get().Start({.engine = CpuEngine::kPerf});
    Require(absl::IsUnimplemented(forced), forced.ToString());
    RequireTimersInstead("no perf events");
  }));
}

// No descriptor is left: neither for the process nor, ENFILE, for the machine.
TEST(PerfEvent, AProgramWithoutDescriptorsIsNoObstacle) {
  for (const int error : {EMFILE, ENFILE}) {
    EXPECT_TRUE(InChild([error] {
      Forbid(error);
      const absl::Status status = Try(CpuEngine::kPerf);
      Require(absl::IsResourceExhausted(status), status.ToString());
      const absl::Status forced = Sampler::Get().Start({.engine = CpuEngine::kPerf});
      Require(absl::IsResourceExhausted(forced), forced.ToString());
      RequireTimersInstead("ulimit -n");
    }));
  }
  if (!Try(CpuEngine::kPerfUser).ok()) GTEST_SKIP();
  EXPECT_TRUE(InChild([] {
    const int next = dup(0);
    Require(next >= 0 && close(next) == 0, "dup");
    const rlimit none_left = {static_cast<rlim_t>(next), static_cast<rlim_t>(next)};
    Require(setrlimit(RLIMIT_NOFILE, &none_left) == 0, "setrlimit");
    const absl::Status status = Try(CpuEngine::kPerfUser);
    Require(absl::IsResourceExhausted(status), status.ToString());
  }));
}

// Half of the descriptors are the program's; the threads beyond get timers.
TEST(PerfEvent, DescriptorsAreLeftToTheProgram) {
  if (!Try(CpuEngine::kPerf).ok()) GTEST_SKIP();
  EXPECT_TRUE(InChild([] {
    const rlimit few = {32, 32};
    Require(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 30; ++i) {
      threads.emplace_back([&done] {
        while (!done) usleep(1000);
      });
    }
    Sampler& sampler = Sampler::Get();
    Require(sampler.Start({.period_ns = 1'000'000, .engine = CpuEngine::kAuto}).ok(), "start");
    const SamplerCounts counts = sampler.counts();
    Require(counts.threads >= 31, std::to_string(counts.threads));  // the thread sanitizer has one,
                                                                    // too
    Require(counts.threads_refused == 0, counts.refusal);
    Require(counts.engine.find("perf-task-clock (") != std::string::npos, counts.engine);
    Require(counts.engine.find("posix-cpu-timer (") != std::string::npos, counts.engine);
    Require(counts.fallback.find("left to the program") != std::string::npos, counts.fallback);
    const int free_one = dup(0);
    Require(free_one >= 0 && free_one < 32, "a descriptor for the program");
    sampler.Stop();
    done = true;
    for (std::thread& thread : threads) thread.join();
  }));
}

}  // namespace
}  // namespace curg::internal
