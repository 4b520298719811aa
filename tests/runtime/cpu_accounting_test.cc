// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_accounting.h"

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/current_tag.h"
#include "runtime/go.h"
#include "runtime/tag.h"
#include "tests/profiler/burn.h"

namespace curg {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

class TestTag : public Tag {};

TagRef NewTag() { return TagRef::Adopt(new TestTag); }

// Uses `ns` of CPU without parking; returns how much it was.
int64_t Burn(int64_t ns) { return internal::BurnCpuClosely(nanoseconds(ns)).count(); }

int64_t CpuOf(const CpuUse& use, const TagRef& tag) {
  for (const auto& sum : use.tags) {
    if (sum.tag == tag) return sum.cpu.count();
  }
  return 0;
}

int64_t Sum(const CpuUse& use) {
  int64_t sum = (use.runtime + use.other + use.in_flight).count();
  for (const auto& of : use.tags) sum += of.cpu.count();
  return sum;
}

TEST(CpuAccounting, OffCountsNothing) {
  curg::Run([] {
    Burn(1'000'000);
    EXPECT_EQ(CurrentTaskCpuTime().count(), 0);
  });
  EXPECT_EQ(CurrentTaskCpuTime().count(), 0);
}

TEST(CpuAccounting, OfOneTask) {
  CpuAccounting accounting;
  curg::Run({.workers = 1}, [] {
    const int64_t before = CurrentTaskCpuTime().count();
    const int64_t burnt = Burn(20'000'000);
    const int64_t counted = CurrentTaskCpuTime().count() - before;
    EXPECT_GE(counted, burnt * 99 / 100);
    EXPECT_LE(counted, burnt * 101 / 100 + 200'000);
    SleepFor(milliseconds(50));  // costs nothing
    EXPECT_LE(CurrentTaskCpuTime().count() - before - counted, 5'000'000);
  });
}

// More workers than CPUs, so that threads lose theirs, and slices both short and long.
TEST(CpuAccounting, TagsGetWhatTheirTasksUsed) {
  const std::vector<TagRef> tags = {NewTag(), NewTag(), NewTag()};
  std::vector<std::atomic<int64_t>> burnt(tags.size());
  auto runtime = *Runtime::Create({.workers = 8});
  CpuAccounting accounting;
  runtime->Run([&] {
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 24; ++i) {
      const size_t which = static_cast<size_t>(i) % tags.size();
      tasks.push_back(Go({.tag = tags[which]}, [&burnt, which] {
        for (int j = 0; j < 100; ++j) {
          burnt[which] += Burn(j % 20 == 0 ? 300'000 : 40'000 * (static_cast<int64_t>(which) + 1));
          Yield();
        }
      }));
    }
    for (auto& task : tasks) task.Join();
  });
  const CpuUse use = accounting.Read();
  for (size_t i = 0; i < tags.size(); ++i) {
    const auto counted = static_cast<double>(CpuOf(use, tags[i]));
    EXPECT_GT(counted, 0.95 * static_cast<double>(burnt[i])) << i;
    // Around each of 800 calls of Burn there is a switch, which sanitizers make slow.
    EXPECT_LT(counted, 1.05 * static_cast<double>(burnt[i]) + 800 * 20'000.0) << i;
  }
}

// All sums together are the CPU time of the workers' threads.
TEST(CpuAccounting, SumsAreTheCpuTimeOfTheThreads) {
  auto runtime = *Runtime::Create({.workers = 4});
  rusage before, after;
  CpuAccounting accounting;
  getrusage(RUSAGE_SELF, &before);
  runtime->Run([] {
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < 40; ++i) {
      tasks.push_back(Go([] {
        for (int j = 0; j < 2000; ++j) {
          Burn(1000);
          Yield();
        }
      }));
    }
    for (auto& task : tasks) task.Join();
  });
  const CpuUse use = accounting.Read();
  getrusage(RUSAGE_SELF, &after);
  const auto ns = [](const timeval& time) { return time.tv_sec * 1e9 + time.tv_usec * 1e3; };
  const double process =
      ns(after.ru_utime) + ns(after.ru_stime) - ns(before.ru_utime) - ns(before.ru_stime);
  EXPECT_GT(static_cast<double>(Sum(use)), 0.95 * process);
  EXPECT_LT(static_cast<double>(Sum(use)), 1.05 * process);
}

TEST(CpuAccounting, ChangesOfTheTagEndASlice) {
  const TagRef one = NewTag();
  const TagRef two = NewTag();
  CpuAccounting accounting;
  int64_t burnt_one = 0;
  int64_t burnt_two = 0;
  curg::Run({.workers = 1}, [&] {
    for (int i = 0; i < 20; ++i) {
      const TagRef before = ExchangeCurrentTag(one);
      burnt_one += Burn(500'000);
      ExchangeCurrentTag(two);
      burnt_two += Burn(1'500'000);
      ExchangeCurrentTag(before);
    }
  });
  const CpuUse use = accounting.Read();
  EXPECT_NEAR(static_cast<double>(CpuOf(use, one)), static_cast<double>(burnt_one),
              0.05 * static_cast<double>(burnt_one));
  EXPECT_NEAR(static_cast<double>(CpuOf(use, two)), static_cast<double>(burnt_two),
              0.05 * static_cast<double>(burnt_two));
}

// What runs all the while is in flight, and is its task's once it switches.
TEST(CpuAccounting, ATaskThatNeverSwitchesIsInFlight) {
  const TagRef tag = NewTag();
  std::atomic<bool> stop{false};
  std::atomic<bool> started{false};
  auto runtime = *Runtime::Create({.workers = 1});
  auto task = runtime->Go({.tag = tag}, [&] {
    started = true;
    while (!stop) {
    }
  });
  while (!started) std::this_thread::yield();
  CpuAccounting accounting;
  while (accounting.Read().in_flight < milliseconds(20))
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(CpuOf(accounting.Read(), tag), 0);
  stop = true;
  task.Join();
  EXPECT_GE(CpuOf(accounting.Read(), tag), 20'000'000);
}

// Each sees what was spent in its own time; tags are let go of afterwards.
TEST(CpuAccounting, SessionsOverlap) {
  static std::atomic<int> alive{0};
  struct CountedTag : Tag {
    CountedTag() { ++alive; }
    ~CountedTag() override { --alive; }
  };
  {
    auto runtime = *Runtime::Create({.workers = 2});
    auto outer = std::make_unique<CpuAccounting>();
    TagRef tag = TagRef::Adopt(new CountedTag);
    const auto burn = [&] { runtime->Go({.tag = tag}, [] { Burn(10'000'000); }).Join(); };
    burn();
    {
      CpuAccounting inner;
      burn();
      EXPECT_GE(CpuOf(inner.Read(), tag), 9'500'000);
      EXPECT_LT(CpuOf(inner.Read(), tag), 15'000'000);
    }
    EXPECT_GE(CpuOf(outer->Read(), tag), 19'000'000);
    outer.reset();
    CpuAccounting next;
    EXPECT_EQ(CpuOf(next.Read(), tag), 0);
  }
  EXPECT_EQ(alive, 0);
}

// More tags than a worker has entries for: all are counted.
TEST(CpuAccounting, ManyTags) {
  constexpr int kTags = 1000;
  std::vector<TagRef> tags;
  for (int i = 0; i < kTags; ++i) tags.push_back(NewTag());
  auto runtime = *Runtime::Create({.workers = 4});
  CpuAccounting accounting;
  runtime->Run([&] {
    for (int round = 0; round < 3; ++round) {
      std::vector<JoinHandle<void>> tasks;
      for (const TagRef& tag : tags) tasks.push_back(Go({.tag = tag}, [] { Burn(20'000); }));
      for (auto& task : tasks) task.Join();
    }
  });
  const CpuUse use = accounting.Read();
  int64_t sum = 0;
  for (const TagRef& tag : tags) {
    EXPECT_GT(CpuOf(use, tag), 0);
    sum += CpuOf(use, tag);
  }
  EXPECT_GE(sum, int64_t{kTags} * 3 * 20'000 * 95 / 100);
}

}  // namespace
}  // namespace curg
