// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_meter.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/cpu_accounting.h"
#include "runtime/current_tag.h"
#include "runtime/go.h"
#include "runtime/runtime.h"
#include "runtime/sync/channel.h"
#include "runtime/tag.h"
#include "tests/profiler/burn.h"

namespace curg::internal {
namespace {

using Wish = CpuMeter::Wish;

class TestTag : public Tag {};

TagRef NewTag() { return TagRef::Adopt(new TestTag); }

// Uses `ns` of CPU without parking; returns how much it was.
int64_t Burn(int64_t ns) { return BurnCpuClosely(std::chrono::nanoseconds(ns)).count(); }

// Metering on, as somebody with that wish has it.
class Metering {
 public:
  explicit Metering(Wish wish) : wish_(wish) { CpuMeter::Start(wish); }
  ~Metering() { CpuMeter::Stop(wish_); }

 private:
  const Wish wish_;
};

// Two tasks that take turns so many times, all on one worker.
void TakeTurns(const TagRef& one, const TagRef& other, int times) {
  const auto yield = [times] {
    for (int i = 0; i < times; ++i) Yield();
  };
  curg::Run({.workers = 1}, [&] {
    JoinHandle<void> first = Go({.tag = one}, yield);
    JoinHandle<void> second = Go({.tag = other}, yield);
    first.Join();
    second.Join();
  });
}

constexpr int kManyTurns = 200'000;

TEST(CpuMeter, CostsNothingWhereTagsDoNotChange) {
  const TagRef tag = NewTag();
  Metering metering(Wish::kTagsIfCheap);
  TakeTurns(tag, tag, kManyTurns);
  TakeTurns({}, {}, kManyTurns);
  EXPECT_TRUE(CpuMeter::On());
  EXPECT_EQ(CpuMeter::Read().give_ups, 0u);
}

// The sum over all accounts.
int64_t SumOf(const CpuTotals& totals) {
  int64_t sum = totals.unmetered_ns + totals.runtime_ns + totals.other_ns + totals.in_flight_ns;
  for (const auto& [tag, of_tag] : totals.tags) sum += of_tag.ns;
  return sum;
}

// A tag's, also of slices that have not ended.
struct TagNs {
  int64_t ended = 0;
  int64_t in_flight = 0;
};
TagNs NsOf(const CpuTotals& totals, const TagRef& tag) {
  TagNs ns;
  for (const CpuTotals::Slice& slice : totals.slices) {
    if (slice.known && !slice.runtime && slice.tag == tag) ns.in_flight += slice.ns;
  }
  const auto found = totals.tags.find(tag.get());
  if (found != totals.tags.end()) ns.ended = found->second.ns;
  return ns;
}

// A task with a tag, made in one way or another, wakes it; what was before is one sum.
TEST(CpuMeter, SleepsUntilATaskHasATag) {
  constexpr int64_t kBurnNs = 20'000'000;
  const TagRef tag = NewTag();
  const std::vector<std::function<int64_t()>> ways = {
      [&tag] { return Go({.tag = tag}, [] { return Burn(kBurnNs); }).Join(); },
      [&tag] {
        const TagRef old = ExchangeCurrentTag(tag);
        const int64_t burnt = Burn(kBurnNs);
        ExchangeCurrentTag(old);
        return burnt;
      }};
  for (const auto& way : ways) {
    Metering metering(Wish::kTagsIfCheap);
    curg::Run({.workers = 1}, [&] {
      const int64_t before = Burn(kBurnNs);
      EXPECT_FALSE(CpuMeter::On());
      EXPECT_GT(CpuMeter::Read().unmetered_ns, 0.95 * before);
      const int64_t burnt = way();
      EXPECT_TRUE(CpuMeter::On());
      const CpuTotals totals = CpuMeter::Read();
      const TagNs of_tag = NsOf(totals, tag);
      EXPECT_GT(of_tag.ended + of_tag.in_flight, 0.95 * burnt);
      EXPECT_LT(of_tag.ended + of_tag.in_flight, burnt + 0.5 * kBurnNs);
      EXPECT_LT(totals.unmetered_ns, before + 0.5 * kBurnNs);
    });
    EXPECT_GT(SumOf(CpuMeter::Read()), 1.95 * kBurnNs);
  }
}

// One that has its tag already is found, also when it is not running.
TEST(CpuMeter, StaysAwakeForTagsThatAreThere) {
  const TagRef tag = NewTag();
  curg::Run({.workers = 1}, [&tag] {
    Channel<int> end;
    JoinHandle<void> tagged = Go({.tag = tag}, [&end] { (void)end.Receive(); });
    for (int i = 0; i < 2; ++i) {
      Yield();
      Metering metering(Wish::kTagsIfCheap);
      EXPECT_TRUE(CpuMeter::On());
    }
    end.Close();
    tagged.Join();
    Metering metering(Wish::kTagsIfCheap);
    EXPECT_FALSE(CpuMeter::On());
  });
}

TEST(CpuMeter, PausesWhereTagsChangeTooFast) {
  const TagRef one = NewTag();
  const TagRef two = NewTag();
  Metering metering(Wish::kTagsIfCheap);
  TakeTurns(one, two, 1000);  // a moment
  EXPECT_EQ(CpuMeter::Read().give_ups, 0u);
  std::chrono::steady_clock::time_point start;
  // Again, if the worker was held up, and another one came for one of the tasks.
  for (int i = 0; i < 10 && CpuMeter::Read().give_ups == 0; ++i) {
    start = std::chrono::steady_clock::now();
    TakeTurns(one, two, kManyTurns);
  }
  EXPECT_EQ(CpuMeter::Read().give_ups, 1u);
  EXPECT_FALSE(CpuMeter::On());
  CpuMeter::TryAgain();
  const bool on = CpuMeter::On();
  const bool too_soon = std::chrono::steady_clock::now() - start < std::chrono::seconds(1);
  EXPECT_FALSE(on && too_soon);

  // What was counted until then stays; what comes now is nobody's.
  const CpuTotals before = CpuMeter::Read();
  EXPECT_GT(before.tags.at(one.get()).ns, 0);
  const int64_t burnt = curg::Run({.workers = 1}, [] { return Burn(5'000'000); });
  const CpuTotals totals = CpuMeter::Read();
  EXPECT_EQ(totals.tags.at(one.get()).ns, before.tags.at(one.get()).ns);
  EXPECT_TRUE(!too_soon || totals.unmetered_ns - before.unmetered_ns >= 0.95 * burnt);

  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  CpuMeter::TryAgain();
  EXPECT_TRUE(CpuMeter::On());
  EXPECT_GE(CpuMeter::Read().tags.at(one.get()).ns, totals.tags.at(one.get()).ns);
  EXPECT_GE(CpuMeter::Read().unmetered_ns, totals.unmetered_ns);
}

TEST(CpuMeter, GoesOnForThoseWhoInsist) {
  const TagRef one = NewTag();
  const TagRef two = NewTag();
  Metering cheap(Wish::kTagsIfCheap);
  Metering insists(Wish::kTags);
  TakeTurns(one, two, kManyTurns);
  const CpuTotals totals = CpuMeter::Read();
  EXPECT_EQ(totals.give_ups, 0u);
  EXPECT_GT(totals.tags.at(one.get()).ns, 0);
  EXPECT_GT(totals.tags.at(two.get()).ns, 0);
}

// Slices go on over switches between tasks of one tag, also through the scheduler, and what each
// tag gets is right.
TEST(CpuMeter, SlicesOfSeveralTasksGoToTheirTag) {
  constexpr int64_t kBurnNs = 30'000;
  constexpr int kTasks = 6;
  double share_of_one = 0;
  double share_of_two = 0;
  double ratio = 0;
  // Longer if need be: others' interrupts are in the slices that they hit.
  for (const int times : {300, 1200, 4800}) {
    const TagRef one = NewTag();
    const TagRef two = NewTag();
    Metering metering(Wish::kTagsIfCheap);
    curg::Run({.workers = 1}, [&] {
      std::vector<JoinHandle<void>> tasks;
      for (int i = 0; i < kTasks; ++i) {
        tasks.push_back(Go({.tag = i < kTasks / 3 ? one : two}, [times] {
          for (int n = 0; n < times; ++n) {
            Burn(kBurnNs);
            Yield();
          }
        }));
      }
      for (JoinHandle<void>& task : tasks) task.Join();
    });
    const CpuTotals totals = CpuMeter::Read();
    ASSERT_EQ(totals.give_ups, 0u);
    const auto ns_of_one = static_cast<double>(totals.tags.at(one.get()).ns);
    const auto ns_of_two = static_cast<double>(totals.tags.at(two.get()).ns);
    const double burnt = 1.0 * kBurnNs * times * kTasks / 3;
    share_of_one = ns_of_one / burnt;
    share_of_two = ns_of_two / (2 * burnt);
    ratio = ns_of_two / ns_of_one;
    if (share_of_one > 0.98 && share_of_two > 0.98 && std::abs(ratio - 2) < 0.1) break;
  }
  EXPECT_GT(share_of_one, 0.98);
  EXPECT_GT(share_of_two, 0.98);
  EXPECT_NEAR(ratio, 2, 0.1);
}

// A slice that goes on and on, through visits to the scheduler, too, says whose it is.
TEST(CpuMeter, WhatIsInFlightIsKnown) {
  const TagRef tag = NewTag();
  Metering metering(Wish::kTagsIfCheap);
  std::atomic<bool> stop{false};
  auto runtime = *Runtime::Create({.workers = 1});
  const auto turns = [&stop] {
    while (!stop) {
      Burn(2000);
      Yield();
    }
  };
  std::vector<JoinHandle<void>> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(runtime->Go({.tag = tag}, turns));
  TagNs of_tag;
  int64_t most_in_flight = 0;
  while (of_tag.in_flight + of_tag.ended < 100'000'000) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    of_tag = NsOf(CpuMeter::Read(), tag);
    most_in_flight = std::max(most_in_flight, of_tag.in_flight);
  }
  stop = true;
  for (JoinHandle<void>& task : tasks) task.Join();
  EXPECT_GT(most_in_flight, 0);
  EXPECT_LT(CpuMeter::Read().runtime_ns, of_tag.in_flight + of_tag.ended);
}

// The time of tasks counts from when somebody asks for it, in the middle of a slice that many tasks
// have shared.
TEST(CpuMeter, TasksAreChargedFromWhenSomebodyAsks) {
  Metering metering(Wish::kTagsIfCheap);
  curg::Run({.workers = 1}, [] {
    (void)ExchangeCurrentTag(NewTag());  // inherited
    const auto others = [] {
      Go([] { Burn(20'000'000); }).Join();  // by the worker's only slice so far
    };
    others();
    Burn(20'000'000);
    EXPECT_EQ(CurrentTaskCpuTime().count(), 0);
    CpuAccounting accounting;
    const int64_t burnt = Burn(5'000'000);
    const int64_t used = CurrentTaskCpuTime().count();
    EXPECT_GE(used, burnt);
    EXPECT_LT(used, burnt + 10'000'000);
    others();
    EXPECT_LT(CurrentTaskCpuTime().count(), used + 5'000'000);
  });
}

}  // namespace
}  // namespace curg::internal
