// SPDX-License-Identifier: Apache-2.0
//
// Whose sample is it? The whole path with real signals: tasks that burn CPU in functions known by
// their addresses, under labels, while they switch, migrate, spawn and relabel.
//
// A measurement that came out wrong on a loaded machine is repeated twice as long, never judged by
// a wider bound. What must never happen (a wrong label, a mixed stack) is judged at once.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "labels/labels.h"
#include "profiler/cpu_profiler.h"
#include "profiler/pseudo_frames.h"
#include "runtime/go.h"
#include "tests/pipeline/hog.h"
#include "tests/profiler/burn.h"

// The linker marks where a section that is named like an identifier begins and ends.
extern "C" {
extern const char __start_curg_asked_one[];
extern const char __stop_curg_asked_one[];
extern const char __start_curg_asked_two[];
extern const char __stop_curg_asked_two[];
}

namespace curg::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

// Calls `measure(duration)` with doubled durations until it returns true.
bool RetryLonger(const std::function<bool(milliseconds)>& measure) {
  for (milliseconds duration(500); duration <= milliseconds(8000); duration *= 2) {
    if (measure(duration)) return true;
    if (testing::Test::HasFatalFailure()) return false;
  }
  return false;
}

// Profiles `tasks` tasks that each call `body(number)` until the time is over.
CpuProfile ProfileTasks(int workers, int tasks, milliseconds duration,
                        const std::function<void(int)>& body,
                        const CpuProfileOptions& options = {.rate_hz = 1000}) {
  return curg::Run({.workers = workers}, [&] {
    CpuProfileSession session = StartCpuProfile(options).value();
    const Clock::time_point end = Clock::now() + duration;
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < tasks; ++i) {
      handles.push_back(Go([&body, end, i] {
        while (Clock::now() < end) body(i);
      }));
    }
    for (JoinHandle<void>& handle : handles) handle.Join();
    return session.Stop();
  });
}

std::string_view LabelOf(const CpuProfileEntry& entry, std::string_view key) {
  // The label set lives as long as the entry's tag.
  return Labels::FromTag(entry.tag).Get(key).value_or("");
}

int64_t WeightOf(const CpuProfile& profile,
                 const std::function<bool(const CpuProfileEntry&)>& which) {
  int64_t weight = 0;
  for (const CpuProfileEntry& entry : profile.entries) {
    if (which(entry)) weight += entry.weight;
  }
  return weight;
}

int64_t TaskWeight(const CpuProfile& profile) {
  return WeightOf(profile, [](const CpuProfileEntry& e) { return e.kind == SampleKind::kTask; });
}

// A stack belongs to one task, and says so: a hog's frames come with the hog's label and no
// other's, and a sample within a switch has one frame.
void ExpectNoMixture(const CpuProfile& profile) {
  for (const CpuProfileEntry& entry : profile.entries) {
    const bool in_a = HasHogA(entry);
    const bool in_b = HasHogB(entry);
    EXPECT_FALSE(in_a && in_b) << "two tasks' frames in one stack";
    EXPECT_TRUE(!in_a || LabelOf(entry, "job") == "a") << LabelOf(entry, "job");
    EXPECT_TRUE(!in_b || LabelOf(entry, "job") == "b") << LabelOf(entry, "job");
    EXPECT_TRUE(entry.pcs[0] != PseudoLeaf(&TaskSwitch) || entry.pcs.size() == 1);
    EXPECT_TRUE(entry.kind != SampleKind::kRuntime || !entry.tag);
  }
  EXPECT_EQ(profile.quality.lost_samples, 0);
  EXPECT_EQ(profile.quality.overflow_samples, 0);
}

TEST(CpuAttribution, BothHogsShowUpWithTheirLabels) {
  EXPECT_TRUE(RetryLonger([](milliseconds duration) {
    const CpuProfile profile = ProfileTasks(2, 2, duration, [](int i) {
      const ScopedLabels labels({{"job", i == 0 ? "a" : "b"}});
      for (int n = 0; n < 100; ++n) i == 0 ? HogA() : HogB();
    });
    ExpectNoMixture(profile);
    const int64_t all = TaskWeight(profile);
    return WeightOf(profile, HasHogA) > all / 4 && WeightOf(profile, HasHogB) > all / 4;
  }));
}

// At least 99 % of the samples of user tasks carry the label that all tasks always have, and the
// shares are those that the threads' CPU clocks show over stretches that do not park.
TEST(CpuAttribution, LabelSharesAreThoseOfTheThreadClock) {
  double a_share = 0;
  double a_clock = 0;
  EXPECT_TRUE(RetryLonger([&](milliseconds duration) {
    std::atomic<int64_t> a_ns{0};
    std::atomic<int64_t> all_ns{0};
    const CpuProfile profile = curg::Run({.workers = 4}, [&] {
      const ScopedLabels everywhere({{"test", "shares"}});
      CpuProfileSession session = StartCpuProfile().value();
      const Clock::time_point end = Clock::now() + duration;
      std::vector<JoinHandle<void>> handles;
      for (int i = 0; i < 8; ++i) {
        handles.push_back(Go([&, end, i] {
          for (int round = i; Clock::now() < end; ++round) {
            const bool a = round % 4 == 0;
            const ScopedLabels labels({{"job", a ? "a" : "b"}});
            const nanoseconds before = ThreadCpu();
            for (int n = 0; n < 150; ++n) a ? HogA() : HogB();
            const int64_t used = (ThreadCpu() - before).count();
            all_ns += used;
            if (a) a_ns += used;
            Yield();
          }
        }));
      }
      for (JoinHandle<void>& handle : handles) handle.Join();
      return session.Stop();
    });
    ExpectNoMixture(profile);
    const auto labelled = static_cast<double>(WeightOf(profile, [](const CpuProfileEntry& e) {
      return e.kind == SampleKind::kTask && LabelOf(e, "test") == "shares";
    }));
    EXPECT_GE(labelled, 0.99 * static_cast<double>(TaskWeight(profile)));
    a_share = static_cast<double>(WeightOf(
                  profile, [](const CpuProfileEntry& e) { return LabelOf(e, "job") == "a"; })) /
              labelled;
    a_clock = static_cast<double>(a_ns) / static_cast<double>(all_ns);
    return a_share > a_clock - 0.05 && a_share < a_clock + 0.05;
  })) << "the profile says "
      << a_share << ", the clock " << a_clock;
}

// Go's TestGoroutineSwitch: never a stack of several frames whose leaf is the switch.
TEST(CpuAttribution, SwitchesNeverMixTasks) {
  EXPECT_TRUE(RetryLonger([](milliseconds duration) {
    const CpuProfile profile = ProfileTasks(3, 12, duration, [](int i) {
      const ScopedLabels labels({{"job", i % 2 == 0 ? "a" : "b"}});
      for (int n = 0; n < 2000; ++n) Yield();
      i % 2 == 0 ? HogA() : HogB();
    });
    ExpectNoMixture(profile);
    return profile.quality.samples > 50 && profile.quality.switches > 0;
  }));
}

// Short-lived tasks inherit their spawner's labels from their first instruction to their last.
TEST(CpuAttribution, ChildrenInheritWhateverTheirLength) {
  EXPECT_TRUE(RetryLonger([](milliseconds duration) {
    const CpuProfile profile = ProfileTasks(3, 6, duration, [](int i) {
      const ScopedLabels labels({{"job", i % 2 == 0 ? "a" : "b"}});
      std::vector<JoinHandle<void>> children;
      for (int n = 0; n < 50; ++n) children.push_back(Go(i % 2 == 0 ? &HogA : &HogB));
      for (JoinHandle<void>& child : children) child.Join();
    });
    ExpectNoMixture(profile);
    return WeightOf(profile, HasHogA) > 20'000'000 && WeightOf(profile, HasHogB) > 20'000'000;
  }));
}

// Labels that change with every few instructions, and are freed as soon as they are replaced.
TEST(CpuAttribution, RelabellingIsSafeAtAnyInstruction) {
  EXPECT_TRUE(RetryLonger([](milliseconds duration) {
    const CpuProfile profile = ProfileTasks(4, 8, duration, [](int i) {
      static std::atomic<uint64_t> number{0};
      for (int n = 0; n < 200; ++n) {
        const ScopedLabels labels({{"number", std::to_string(number++)}});
        const ScopedLabels job({{"job", i % 2 == 0 ? "a" : "b"}});
      }
      if (i % 3 == 0) Yield();
    });
    ExpectNoMixture(profile);
    return profile.quality.samples > 50;
  }));
}

TEST(CpuAttribution, PlainThreadsHaveTheirOwnLabels) {
  EXPECT_TRUE(RetryLonger([](milliseconds duration) {
    CpuProfileSession session = StartCpuProfile({.rate_hz = 1000}).value();
    const Clock::time_point end = Clock::now() + duration;
    std::thread a([end] {
      SetLabels(Labels::Of({{"job", "a"}}));
      while (Clock::now() < end) HogA();
      SetLabels({});
    });
    a.join();
    const CpuProfile profile = session.Stop();
    ExpectNoMixture(profile);
    return WeightOf(profile, [](const CpuProfileEntry& e) {
             return e.kind == SampleKind::kForeign && HasHogA(e);
           }) > 100'000'000;
  }));
}

// A profile starts, stops and loses nothing while a worker is held by a loop that never yields, and
// the loop's time is there.
TEST(CpuAttribution, AHeldWorkerIsProfiledLikeAnyOther) {
  double share = 0;
  EXPECT_TRUE(RetryLonger([&share](milliseconds duration) {
    std::atomic<bool> release{false};
    nanoseconds held_cpu{0};
    CpuProfile profile;
    curg::Run({.workers = 2}, [&] {
      std::atomic<bool> held{false};
      JoinHandle<void> holder = Go([&] {
        const ScopedLabels labels({{"job", "a"}});
        held = true;
        while (!release) HogA();
      });
      while (!held) Yield();
      std::thread outside([&] {
        const nanoseconds before = CpuClock(CLOCK_PROCESS_CPUTIME_ID);
        CpuProfileSession session = StartCpuProfile().value();
        std::this_thread::sleep_for(duration);
        profile = session.Stop();
        held_cpu = CpuClock(CLOCK_PROCESS_CPUTIME_ID) - before;
        release = true;
      });
      outside.join();
      holder.Join();
    });
    ExpectNoMixture(profile);
    share = static_cast<double>(WeightOf(profile, HasHogA)) / static_cast<double>(held_cpu.count());
    return share > 0.93 && share < 1.05;
  })) << share;
}

// ---- Who asked for it.

// The frames of `pcs` between the pseudo frames, each part leaf first.
std::vector<std::vector<uintptr_t>> PartsOf(const CpuProfileEntry& entry) {
  std::vector<std::vector<uintptr_t>> parts(1);
  for (const uintptr_t pc : entry.pcs) {
    if (pc == PseudoCaller(&SpawnedBy)) {
      parts.emplace_back();
    } else {
      parts.back().push_back(pc);
    }
  }
  return parts;
}

// These spawn what they are given and wait for it; each is alone in its section.
[[gnu::noinline, gnu::section("curg_asked_one")]] void AskedByOne(
    const std::function<void()>& work) {
  Go(work).Join();
}
[[gnu::noinline, gnu::section("curg_asked_two")]] void AskedByTwo(
    const std::function<void()>& work) {
  Go(work).Join();
}

bool Within(std::span<const uintptr_t> pcs, const char* start, const char* stop) {
  return std::any_of(pcs.begin(), pcs.end(), [start, stop](uintptr_t pc) {
    return reinterpret_cast<uintptr_t>(start) < pc && pc <= reinterpret_cast<uintptr_t>(stop);
  });
}
bool HasOne(std::span<const uintptr_t> pcs) {
  return Within(pcs, __start_curg_asked_one, __stop_curg_asked_one);
}
bool HasTwo(std::span<const uintptr_t> pcs) {
  return Within(pcs, __start_curg_asked_two, __stop_curg_asked_two);
}

// The same work, in a task that a task has spawned, is told apart by who asked for it.
TEST(CpuAttribution, SamplesShowTheirSpawners) {
  const auto profile_with = [](int spawners, milliseconds duration) {
    return ProfileTasks(2, 2, duration,
                        [](int i) {
                          const auto indirectly = [] {
                            Go([] {
                              for (int n = 0; n < 100; ++n) HogA();
                            }).Join();
                          };
                          const ScopedLabels labels({{"job", "a"}});
                          i == 0 ? AskedByOne(indirectly) : AskedByTwo(indirectly);
                        },
                        {.rate_hz = 1000, .spawners = spawners});
  };
  EXPECT_TRUE(RetryLonger([&](milliseconds duration) {
    const CpuProfile profile = profile_with(2, duration);
    int64_t by_one = 0;
    int64_t by_two = 0;
    int64_t all = 0;
    for (const CpuProfileEntry& entry : profile.entries) {
      if (!HasHogA(entry)) continue;
      all += entry.weight;
      const auto parts = PartsOf(entry);
      EXPECT_LE(parts.size(), 3u);
      if (parts.size() < 3) continue;  // of a task that was spawned before
      EXPECT_FALSE(HasOne(parts[0]) || HasTwo(parts[0]));
      EXPECT_FALSE(HasOne(parts[1]) || HasTwo(parts[1]));
      EXPECT_FALSE(HasOne(parts[2]) && HasTwo(parts[2]));
      if (HasOne(parts[2])) by_one += entry.weight;
      if (HasTwo(parts[2])) by_two += entry.weight;
    }
    return by_one > all / 4 && by_two > all / 4 && by_one + by_two > all * 95 / 100;
  }));
  for (const CpuProfileEntry& entry : profile_with(0, milliseconds(200)).entries) {
    EXPECT_EQ(PartsOf(entry).size(), 1u);
  }
  for (const CpuProfileEntry& entry : profile_with(1, milliseconds(200)).entries) {
    EXPECT_LE(PartsOf(entry).size(), 2u);
  }
}

// ---- Exact label totals, and what they cost.

// One slice without end, in which the scheduler is met as well: its time stays the tasks' and the
// scheduler's.
TEST(CpuAttribution, TasksWithoutLabelsKeepTheirTime) {
  struct Sums {
    int64_t in_hog = 0;
    int64_t not_sampled = 0;
    int64_t all = 0;
    bool AreRight() const { return in_hog > all / 2 && not_sampled < all / 5; }
  };
  const auto measure = [](milliseconds how_long) {
    const CpuProfile profile = ProfileTasks(2, 8, how_long, [](int) {
      HogA();
      Yield();
    });
    Sums sums;
    for (const CpuProfileEntry& entry : profile.entries) {
      if (entry.kind != SampleKind::kTask && entry.kind != SampleKind::kRuntime &&
          entry.kind != SampleKind::kNotSampled) {
        continue;
      }
      sums.all += entry.weight;
      if (HasHogA(entry)) sums.in_hog += entry.weight;
      if (entry.kind == SampleKind::kNotSampled) sums.not_sampled += entry.weight;
    }
    return sums;
  };
  for (int round = 0; round < 10; ++round) {
    // A busy machine leaves little of 50 ms, and the runtime's start and end are in it.
    Sums sums;
    for (const int ms : {50, 250, 1250}) {
      sums = measure(milliseconds(ms));
      if (sums.AreRight()) break;
    }
    EXPECT_GT(sums.in_hog, sums.all / 2);
    EXPECT_LT(sums.not_sampled, sums.all / 5);
  }
}

TEST(CpuAttribution, LabelTotalsAreCountedOrSampledAsAsked) {
  const auto profile_with = [](LabelTotals totals, int switches) {
    return ProfileTasks(2, 4, milliseconds(300),
                        [switches](int i) {
                          const ScopedLabels labels({{"job", i % 2 == 0 ? "a" : "b"}});
                          for (int n = 0; n < switches; ++n) Yield();
                          for (int n = 0; n < 20; ++n) i % 2 == 0 ? HogA() : HogB();
                        },
                        {.rate_hz = 1000, .label_totals = totals});
  };
  const auto notes = [](const CpuProfile& profile) {
    return std::count_if(profile.quality.notes.begin(), profile.quality.notes.end(),
                         [](const std::string& note) { return note.find("Label totals") == 0; });
  };
  const CpuProfile sampled = profile_with(LabelTotals::kSampled, 1);
  EXPECT_EQ(sampled.quality.exact_tags, 0);
  EXPECT_EQ(notes(sampled), 0);
  const CpuProfile cheap = profile_with(LabelTotals::kExactIfCheap, 1);
  EXPECT_GE(cheap.quality.exact_tags, 2);
  EXPECT_EQ(notes(cheap), 0);
  const CpuProfile dear = profile_with(LabelTotals::kExactIfCheap, 10'000);
// The sanitizers make switches so slow that it is cheap.
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
  EXPECT_GT(dear.quality.unmetered_weight, 0);
  EXPECT_EQ(notes(dear), 1);
#endif
  const CpuProfile insists = profile_with(LabelTotals::kExact, 10'000);
  EXPECT_GE(insists.quality.exact_tags, 2);
  EXPECT_EQ(notes(insists), 0);
  for (const CpuProfile* profile : {&sampled, &cheap, &dear, &insists}) ExpectNoMixture(*profile);
}

}  // namespace
}  // namespace curg::internal
