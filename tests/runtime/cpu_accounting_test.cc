// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_accounting.h"

#include <pthread.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
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

// Runs `round` until it has nothing to object to, a few times at most; returns its last objection.
// What the host of a virtual machine takes away is in the CPU clocks of the guest's threads, and
// may fall between two looks at them.
template <typename Round>
std::string Objection(Round round) {
  std::string objection;
  for (int i = 0; i < 5; ++i) {
    objection = round();
    if (objection.empty()) break;
  }
  return objection;
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
  const auto round = [] {
    const int64_t before = CurrentTaskCpuTime().count();
    const int64_t burnt = Burn(20'000'000);
    const int64_t counted = CurrentTaskCpuTime().count() - before;
    EXPECT_GE(counted, burnt * 99 / 100);
    SleepFor(milliseconds(50));  // costs nothing
    const int64_t slept = CurrentTaskCpuTime().count() - before - counted;
    const bool right = counted <= burnt * 101 / 100 + 200'000 && slept <= 5'000'000;
    return right ? "" : absl::StrCat(counted, " of ", burnt, " ns; asleep: ", slept);
  };
  curg::Run({.workers = 1}, [&] { EXPECT_EQ(Objection(round), ""); });
}

// More workers than CPUs, so that threads lose theirs, and slices both short and long.
std::string TagsGetWhatTheirTasksUsed() {
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
    const auto used = static_cast<double>(burnt[i]);
    // Around each of 800 calls of Burn there is a switch, which sanitizers make slow.
    if (counted > 0.95 * used && counted < 1.05 * used + 800 * 20'000.0) continue;
    return absl::StrCat("tag ", i, ": ", counted, " of ", used, " ns");
  }
  return "";
}

TEST(CpuAccounting, TagsGetWhatTheirTasksUsed) {
  EXPECT_EQ(Objection(TagsGetWhatTheirTasksUsed), "");
}

// All sums together are the CPU time of the workers' threads.
std::string SumsAreTheCpuTimeOfTheThreads() {
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
  const auto sum = static_cast<double>(Sum(use));
  if (sum > 0.95 * process && sum < 1.05 * process) return "";
  return absl::StrCat(sum, " of ", process, " ns");
}

TEST(CpuAccounting, SumsAreTheCpuTimeOfTheThreads) {
  EXPECT_EQ(Objection(SumsAreTheCpuTimeOfTheThreads), "");
}

std::string ChangesOfTheTagEndASlice() {
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
  const int64_t off_one = CpuOf(use, one) - burnt_one;
  const int64_t off_two = CpuOf(use, two) - burnt_two;
  const bool right = std::abs(off_one) <= burnt_one / 20 && std::abs(off_two) <= burnt_two / 20;
  if (right) return "";
  return absl::StrCat(off_one, " off ", burnt_one, " ns, ", off_two, " off ", burnt_two);
}

TEST(CpuAccounting, ChangesOfTheTagEndASlice) {
  EXPECT_EQ(Objection(ChangesOfTheTagEndASlice), "");
}

// What runs all the while is in flight, and is its task's once it switches.
TEST(CpuAccounting, ATaskThatNeverSwitchesIsInFlight) {
  const TagRef tag = NewTag();
  std::atomic<bool> stop{false};
  std::atomic<pthread_t> worker{0};
  auto runtime = *Runtime::Create({.workers = 1});
  auto task = runtime->Go({.tag = tag}, [&] {
    worker = pthread_self();
    while (!stop) {
    }
  });
  while (worker == 0) std::this_thread::yield();
  clockid_t clock;
  ASSERT_EQ(pthread_getcpuclockid(worker, &clock), 0);
  CpuAccounting accounting;
  const nanoseconds begin = internal::CpuClock(clock);
  nanoseconds used;
  while ((used = internal::CpuClock(clock) - begin) < milliseconds(20))
    std::this_thread::sleep_for(milliseconds(1));
  const CpuUse use = accounting.Read();
  EXPECT_GE(use.in_flight, used);
  EXPECT_EQ(CpuOf(use, tag), 0);
  stop = true;
  task.Join();
  EXPECT_GE(CpuOf(accounting.Read(), tag), used.count());
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
    const auto burn = [&] {
      return runtime->Go({.tag = tag}, [] { return Burn(10'000'000); }).Join();
    };
    burn();
    {
      CpuAccounting inner;
      const int64_t burnt = burn();
      EXPECT_GE(CpuOf(inner.Read(), tag), burnt * 95 / 100);
      EXPECT_LT(CpuOf(inner.Read(), tag), burnt + 5'000'000);
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
