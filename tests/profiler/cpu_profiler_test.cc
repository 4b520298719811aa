// SPDX-License-Identifier: Apache-2.0
#include "profiler/cpu_profiler.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "labels/labels.h"
#include "profiler/pseudo_frames.h"
#include "runtime/go.h"
#include "tests/profiler/burn.h"

namespace curg {
namespace {

using internal::BurnCpu;
using internal::ThreadCpu;
using std::chrono::milliseconds;
using testing::Contains;
using testing::HasSubstr;

int64_t TotalWeight(const CpuProfile& profile) {
  int64_t weight = 0;
  for (const CpuProfileEntry& entry : profile.entries) weight += entry.weight;
  return weight;
}

// Of this thread, that is, and of no thread of the runtime's; with what was left of a period.
double ForeignWeight(const CpuProfile& profile) {
  int64_t weight = 0;
  for (const CpuProfileEntry& entry : profile.entries) {
    const bool foreign =
        entry.kind == SampleKind::kForeign || entry.kind == SampleKind::kNotSampled;
    if (foreign) weight += entry.weight;
  }
  return static_cast<double>(weight);
}

int64_t TotalSamples(const CpuProfile& profile) {
  int64_t samples = 0;
  for (const CpuProfileEntry& entry : profile.entries) samples += entry.samples;
  return samples;
}

TEST(StartCpuProfile, RefusesOptionsOutOfRange) {
  for (const int rate_hz : {0, -1, 10'001}) {
    const auto session = StartCpuProfile({.rate_hz = rate_hz});
    ASSERT_FALSE(session.ok());
    EXPECT_EQ(session.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(
        std::string(session.status().message()),
        HasSubstr("rate_hz is " + std::to_string(rate_hz) + ", but must be between 1 and 10000"));
  }
  for (const int depth_max : {0, 1025}) {
    const auto session = StartCpuProfile({.depth_max = depth_max});
    ASSERT_FALSE(session.ok());
    EXPECT_THAT(std::string(session.status().message()), HasSubstr("between 1 and 1024"));
  }
  for (const int spawners : {-1, 5}) {
    const auto session = StartCpuProfile({.spawners = spawners});
    ASSERT_FALSE(session.ok());
    EXPECT_THAT(std::string(session.status().message()), HasSubstr("between 0 and 4"));
  }
  EXPECT_TRUE(StartCpuProfile().ok());  // none of these has claimed the profiler
}

TEST(StartCpuProfile, TakesTheEngineThatTheEnvironmentNames) {
  const auto engine_of = [](const CpuProfileOptions& options) {
    return StartCpuProfile(options).value().Stop().quality.engine;
  };
  ASSERT_EQ(setenv("CURG_CPU_ENGINE", "posix-cpu-timer", /*overwrite=*/1), 0);
  EXPECT_EQ(engine_of({}), "posix-cpu-timer");
  ASSERT_EQ(setenv("CURG_CPU_ENGINE", "sundial", 1), 0);
  EXPECT_THAT(std::string(StartCpuProfile().status().message()),
              HasSubstr("'sundial', which names no engine"));
  // the program's word goes first
  EXPECT_EQ(engine_of({.engine = CpuEngine::kTimer}), "posix-cpu-timer");
  ASSERT_EQ(unsetenv("CURG_CPU_ENGINE"), 0);
}

TEST(RunningCpuProfiles, SaysWho) {
  EXPECT_TRUE(RunningCpuProfiles().empty());
  CpuProfileSession named = StartCpuProfile({.holder = "the nightly run"}).value();
  CpuProfileSession here = StartCpuProfile().value();
  const std::vector<std::string> lines = RunningCpuProfiles();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], HasSubstr("the nightly run since 20"));
  EXPECT_THAT(lines[1], HasSubstr("cpu_profiler_test.cc:"));
  named.Stop();
  EXPECT_EQ(RunningCpuProfiles().size(), 1u);
}

TEST(CpuProfileSession, DestroyingItStopsAndDiscards) {
  { const auto session = StartCpuProfile(); }
  EXPECT_TRUE(RunningCpuProfiles().empty());
  CpuProfileSession session = StartCpuProfile().value();
  CpuProfileSession moved = std::move(session);
  EXPECT_EQ(RunningCpuProfiles().size(), 1u);  // moving it does not stop it
  moved.Stop();
  session = StartCpuProfile().value();
  EXPECT_EQ(RunningCpuProfiles().size(), 1u);
}

TEST(CpuProfileSession, StopsOnce) {
  CpuProfileSession session = StartCpuProfile().value();
  EXPECT_EQ(session.Stop().period_ns, 10'000'000);
  const CpuProfile again = session.Stop();
  EXPECT_EQ(again.period_ns, 0);
  EXPECT_TRUE(again.entries.empty());
  ASSERT_EQ(again.quality.notes.size(), 1u);
  EXPECT_THAT(again.quality.notes[0], HasSubstr("stopped before"));
}

TEST(CpuProfiler, StartsAndStopsManyTimes) {
  for (int i = 0; i < 200; ++i) {
    CpuProfileSession session = StartCpuProfile({.rate_hz = 1 + i * 50}).value();
    const CpuProfile profile = session.Stop();
    EXPECT_EQ(profile.period_ns, 1'000'000'000 / (1 + i * 50));
    EXPECT_GE(profile.quality.threads, 2);  // this one and the service worker
    EXPECT_EQ(profile.quality.threads_refused, 0);
    EXPECT_FALSE(profile.mappings.empty());
  }
}

// A plain thread, and no runtime anywhere.
TEST(CpuProfiler, CreditsAPlainThreadsCpuTime) {
  double share = 0;
  for (milliseconds cpu(500); cpu < milliseconds(9000); cpu *= 2) {
    CpuProfileSession session = StartCpuProfile().value();
    const std::chrono::nanoseconds before = ThreadCpu();
    BurnCpu(cpu);
    const std::chrono::nanoseconds used = ThreadCpu() - before;
    const CpuProfile profile = session.Stop();
    EXPECT_EQ(profile.quality.lost_samples, 0);
    EXPECT_EQ(TotalSamples(profile), profile.quality.samples);
    share = static_cast<double>(TotalWeight(profile)) / static_cast<double>(used.count());
    if (share > 0.97 && share < 1.03) break;
  }
  EXPECT_GT(share, 0.97);
  EXPECT_LT(share, 1.03);
}

// Foreign threads' stacks are walked as soon as the writer has found out where they are.
// That may take as long as the writer waits for a CPU.
TEST(CpuProfiler, WalksForeignStacks) {
  int64_t deep = 0;
  int64_t all = 0;
  for (milliseconds cpu(500); cpu <= milliseconds(4000) && deep <= all / 2; cpu *= 2) {
    CpuProfileSession session = StartCpuProfile({.rate_hz = 1000}).value();
    internal::BurnCpuDeep(50, cpu);
    const CpuProfile profile = session.Stop();
    deep = 0;
    all = TotalWeight(profile);
    for (const CpuProfileEntry& entry : profile.entries) {
      EXPECT_EQ(entry.kind == SampleKind::kTask, false);
      if (entry.kind == SampleKind::kForeign && entry.pcs.size() > 50) deep += entry.weight;
    }
  }
  EXPECT_GT(deep, all / 2);
}

TEST(CpuProfiler, MarksTruncatedStacks) {
  CpuProfile profile;
  for (milliseconds cpu(400); cpu <= milliseconds(3200); cpu *= 2) {  // as above
    CpuProfileSession session = StartCpuProfile({.rate_hz = 1000, .depth_max = 8}).value();
    internal::BurnCpuDeep(50, cpu);
    profile = session.Stop();
    if (profile.quality.truncated > 0) break;
  }
  EXPECT_GT(profile.quality.truncated, 0);
  bool found = false;
  for (const CpuProfileEntry& entry : profile.entries) {
    EXPECT_LE(entry.pcs.size(), 9u);
    if (!entry.truncated) continue;
    found = true;
    EXPECT_EQ(entry.pcs.size(), 9u);
    EXPECT_EQ(entry.pcs.back(), internal::PseudoCaller(&TruncatedStack));
  }
  EXPECT_TRUE(found);
}

TEST(CpuProfiler, BoundsItsMemory) {
  CpuProfileSession session = StartCpuProfile({.rate_hz = 1000, .map_bytes_max = 0}).value();
  BurnCpu(milliseconds(100));
  const CpuProfile profile = session.Stop();
  ASSERT_FALSE(profile.entries.empty());
  EXPECT_EQ(profile.entries[0].kind, SampleKind::kOverflow);
  EXPECT_EQ(profile.quality.overflow_samples, profile.quality.samples);
  EXPECT_GT(profile.entries[0].weight, 80'000'000);
  for (size_t i = 1; i < profile.entries.size(); ++i) {
    EXPECT_EQ(profile.entries[i].kind, SampleKind::kNotSampled);
  }
}

TEST(CpuProfiler, SurvivesThreadsThatComeAndGo) {
  CpuProfileSession session = StartCpuProfile({.rate_hz = 1000}).value();
  std::vector<std::thread> spawners;
  for (int i = 0; i < 3; ++i) {
    spawners.emplace_back([] {
      for (int n = 0; n < 300; ++n) {
        std::thread([] { BurnCpu(std::chrono::microseconds(500)); }).join();
      }
    });
  }
  for (std::thread& spawner : spawners) spawner.join();
  BurnCpu(milliseconds(100));  // the others may all have been gone before they were found
  const CpuProfile profile = session.Stop();
  EXPECT_EQ(profile.quality.threads_refused, 0);
  EXPECT_GT(profile.quality.samples, 0);
}

// CPU time of the process, of two milliseconds each in threads that come one after the other.
int64_t BurnInShortThreads(milliseconds cpu) {
  const std::chrono::nanoseconds before = internal::CpuClock(CLOCK_PROCESS_CPUTIME_ID);
  for (milliseconds used{0}; used < cpu; used += milliseconds(2)) {
    std::thread([] { BurnCpu(milliseconds(2)); }).join();
  }
  return (internal::CpuClock(CLOCK_PROCESS_CPUTIME_ID) - before).count();
}

int64_t UnseenWeight(const CpuProfile& profile) {
  int64_t weight = 0;
  for (const CpuProfileEntry& entry : profile.entries) {
    if (entry.pcs == std::vector{internal::PseudoLeaf(&UnseenThreads)}) weight += entry.weight;
  }
  EXPECT_EQ(weight, profile.quality.unseen_weight);
  return weight;
}

// Threads are looked for ten times a second.
TEST(CpuProfiler, TheTotalHoldsThreadsThatNobodySaw) {
  for (const CpuEngine engine : {CpuEngine::kTimer, CpuEngine::kAuto}) {
    double share = 0;
    for (milliseconds cpu(500); cpu < milliseconds(9000); cpu *= 2) {
      CpuProfileSession session = StartCpuProfile({.engine = engine}).value();
      const auto used = static_cast<double>(BurnInShortThreads(cpu));
      const CpuProfile profile = session.Stop();
      share = static_cast<double>(TotalWeight(profile)) / used;
      const bool most_unseen = static_cast<double>(UnseenWeight(profile)) > 0.5 * used;
      if (share > 0.97 && share < 1.03 && most_unseen) break;
      if (!most_unseen) share = 0;
    }
    EXPECT_GT(share, 0.97) << EngineName(engine);
    EXPECT_LT(share, 1.03) << EngineName(engine);
  }
}

// Each consumer has what was unseen in its own time, and no other has any.
TEST(CpuProfiler, WhatNobodySawIsOfItsTime) {
  CpuProfileSession all = StartCpuProfile().value();
  CpuProfileSession early = StartCpuProfile().value();
  BurnCpu(milliseconds(50));
  EXPECT_EQ(UnseenWeight(early.Stop()), 0);
  const int64_t used = BurnInShortThreads(milliseconds(200));
  CpuProfileSession filtered = StartCpuProfile({.filter = [](const Tag*) { return true; }}).value();
  CpuProfileSession late = StartCpuProfile().value();
  BurnCpu(milliseconds(50));
  EXPECT_EQ(UnseenWeight(late.Stop()), 0);
  BurnInShortThreads(milliseconds(100));
  const CpuProfile whole = all.Stop();
  EXPECT_GT(UnseenWeight(whole), 0);
  EXPECT_LT(UnseenWeight(whole), 2 * used);
  // Whose it was, nobody knows.
  const CpuProfile part = filtered.Stop();
  EXPECT_GE(part.quality.filtered_weight, part.quality.unseen_weight);
  for (const CpuProfileEntry& entry : part.entries) {
    EXPECT_NE(entry.pcs[0], internal::PseudoLeaf(&UnseenThreads));
  }
}

TEST(CpuProfiler, WorksFromTasksAndAcrossThreads) {
  CpuProfileSession session = curg::Run([] {
    CpuProfileSession started = StartCpuProfile({.rate_hz = 1000}).value();
    BurnCpu(milliseconds(100));
    return started;
  });
  const CpuProfile profile = session.Stop();  // by a plain thread, after the runtime's end
  int64_t of_tasks = 0;
  for (const CpuProfileEntry& entry : profile.entries) {
    if (entry.kind == SampleKind::kTask) of_tasks += entry.weight;
  }
  EXPECT_GE(of_tasks, 80'000'000);
  const CpuProfile within = curg::Run([] { return StartCpuProfile().value().Stop(); });
  EXPECT_EQ(within.period_ns, 10'000'000);
}

// Nothing of a profile may depend on a free worker.
TEST(CpuProfiler, WorksWhileEveryWorkerIsHeld) {
  CpuProfile profile;
  curg::Run({.workers = 2}, [&profile] {
    std::atomic<bool> release{false};
    std::atomic<int> held{0};
    std::thread outside([&] {
      while (held < 2) std::this_thread::yield();
      CpuProfileSession session = StartCpuProfile({.rate_hz = 1000}).value();
      std::this_thread::sleep_for(milliseconds(300));
      profile = session.Stop();
      release = true;
    });
    const auto hold = [&] {
      ++held;
      while (!release) {
      }
    };
    JoinHandle<void> other = Go(hold);
    hold();
    other.Join();
    outside.join();
  });
  EXPECT_GT(profile.quality.samples, 0);
  EXPECT_EQ(profile.quality.lost_samples, 0);
}

// ---- Several at once.

// Each has its own start, stop and rate; the nanoseconds of each are those of its own time.
// Somewhere within its start and its stop each begins and ends.
TEST(CpuProfiler, SeveralProfilesAtOnceEachCountTheirOwnTime) {
  const std::chrono::nanoseconds slow_starts = ThreadCpu();
  CpuProfileSession slow = StartCpuProfile({.rate_hz = 10}).value();
  const std::chrono::nanoseconds slow_runs = ThreadCpu();
  BurnCpu(milliseconds(150));
  const std::chrono::nanoseconds fast_starts = ThreadCpu();
  CpuProfileSession fast = StartCpuProfile({.rate_hz = 1000, .depth_max = 200}).value();
  const std::chrono::nanoseconds fast_runs = ThreadCpu();
  BurnCpu(milliseconds(250));
  const std::chrono::nanoseconds fast_stops = ThreadCpu();
  const CpuProfile fast_profile = fast.Stop();
  const std::chrono::nanoseconds fast_ended = ThreadCpu();
  BurnCpu(milliseconds(150));
  const std::chrono::nanoseconds slow_stops = ThreadCpu();
  const CpuProfile slow_profile = slow.Stop();
  const std::chrono::nanoseconds slow_ended = ThreadCpu();

  const auto ns = [](std::chrono::nanoseconds cpu) { return static_cast<double>(cpu.count()); };
  EXPECT_GT(ForeignWeight(fast_profile), ns(fast_stops - fast_runs) - 15e6);
  EXPECT_LT(ForeignWeight(fast_profile), ns(fast_ended - fast_starts) + 15e6);
  EXPECT_GT(ForeignWeight(slow_profile), ns(slow_stops - slow_runs) - 30e6);
  EXPECT_LT(ForeignWeight(slow_profile), ns(slow_ended - slow_starts) + 30e6);
  EXPECT_EQ(fast_profile.period_ns, 1'000'000);
  EXPECT_GE(fast_profile.quality.samples, 15);
  EXPECT_GE(slow_profile.quality.samples, fast_profile.quality.samples);  // it had all of them
  EXPECT_EQ(slow_profile.period_ns, 1'000'000);
  EXPECT_THAT(slow_profile.quality.notes, Contains(HasSubstr("another profile")));
}

TEST(CpuProfiler, KeepsWhatTheFilterAsksFor) {
  curg::Run([] {
    CpuProfileSession all = StartCpuProfile({.rate_hz = 1000}).value();
    const auto is_acme = [](const Tag* tag) {
      const LabelSet* const labels = LabelSet::FromTag(tag);
      return labels != nullptr && labels->Get("tenant") == "acme";
    };
    CpuProfileSession acme = StartCpuProfile({.rate_hz = 100, .filter = is_acme}).value();
    std::chrono::nanoseconds acme_used{0};
    for (const char* const tenant : {"initech", "acme"}) {
      const ScopedLabels labels({{"tenant", tenant}});
      const std::chrono::nanoseconds before = ThreadCpu();
      BurnCpu(milliseconds(200));
      acme_used = ThreadCpu() - before;
    }
    const CpuProfile of_acme = acme.Stop();
    const CpuProfile of_all = all.Stop();
    EXPECT_NEAR(static_cast<double>(TotalWeight(of_acme)), static_cast<double>(acme_used.count()),
                20e6);
    EXPECT_GE(of_acme.quality.filtered_weight, 180'000'000);
    EXPECT_GT(TotalWeight(of_all), 380'000'000);
    for (const CpuProfileEntry& entry : of_acme.entries) {
      EXPECT_EQ(Labels::FromTag(entry.tag).Get("tenant"), "acme");
    }
  });
}

TEST(CpuProfiler, ManyProfilesStartAndStopInParallel) {
  std::atomic<int> stopped{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&stopped, i] {
      for (int n = 0; n < 25; ++n) {
        CpuProfileSession session =
            StartCpuProfile({.rate_hz = 1 + 333 * i, .depth_max = 10 + i + n}).value();
        BurnCpu(milliseconds(1));
        EXPECT_GT(session.Stop().period_ns, 0);
        ++stopped;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stopped, 100);
  EXPECT_TRUE(RunningCpuProfiles().empty());
}

TEST(CpuProfiler, RefusesForkedChildren) {
  CpuProfileSession session = StartCpuProfile().value();
  const pid_t child = fork();
  if (child == 0) {
    const bool refused = StartCpuProfile().status().code() == absl::StatusCode::kFailedPrecondition;
    const bool empty = session.Stop().period_ns == 0;  // does not hang
    _exit(refused && empty ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// Go's TestCPUProfileWithFork: copying a large process takes longer than a period.
TEST(CpuProfiler, ForksOfALargeProcessComplete) {
  std::vector<char> heap(100 << 20, 'x');
  CpuProfileSession session = StartCpuProfile({.rate_hz = 10'000}).value();
  for (int i = 0; i < 10; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      execl("/bin/true", "true", nullptr);
      _exit(127);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    std::fill(heap.begin(), heap.end(), static_cast<char>(i));
  }
  EXPECT_GT(session.Stop().quality.samples, 0);
}

TEST(CpuProfiler, NotesWhenItRecordedNothing) {
  sigset_t set;
  sigfillset(&set);
  sigset_t old;
  CpuProfileSession session = StartCpuProfile({.rate_hz = 1000}).value();
  pthread_sigmask(SIG_BLOCK, &set, &old);
  BurnCpu(milliseconds(200));
  const CpuProfile profile = session.Stop();
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (profile.quality.samples > 0) GTEST_SKIP() << "the writer itself was sampled";
  EXPECT_THAT(profile.quality.notes, Contains(HasSubstr("Nothing was recorded")));
}

}  // namespace
}  // namespace curg
