// SPDX-License-Identifier: Apache-2.0
//
// Memory comes back: stacks, their page tables, task records, timers.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/context.h"
#include "runtime/go.h"
#include "runtime/sync/wait_group.h"

// Sanitizers keep memory of their own for each page touched.
#if !defined(CURG_ASAN) && !defined(CURG_TSAN)

namespace curg {
namespace {

constexpr int kAtATime = 100'000;
constexpr int kWaves = 10;
constexpr std::chrono::milliseconds kTimeLimit = std::chrono::seconds(10);

// A field of a file like /proc/self/status, in KiB.
int64_t KibOf(const char* file, const std::string& field) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(field + ":", 0) == 0) return std::stoll(line.substr(field.size() + 1));
  }
  ADD_FAILURE() << file << " has no " << field;
  return 0;
}

// Exact, unlike the counter in statm, of which each CPU keeps a part to itself.
int64_t ResidentKib() { return KibOf("/proc/self/smaps_rollup", "Rss"); }
int64_t PageTablesKib() { return KibOf("/proc/self/status", "VmPTE"); }

// Waits until no more than `limit_kib` are resident, for kTimeLimit of sleeps, which are longer
// where the machine stands still; returns how many are.
template <typename Sleep>
int64_t AwaitResident(int64_t limit_kib, std::chrono::milliseconds pause, Sleep sleep) {
  int64_t resident = ResidentKib();
  for (auto left = kTimeLimit; resident > limit_kib && left.count() > 0; left -= pause) {
    sleep(pause);
    resident = ResidentKib();
  }
  return resident;
}

int64_t AwaitResident(int64_t limit_kib) {
  return AwaitResident(limit_kib, std::chrono::milliseconds(100),
                       [](auto pause) { std::this_thread::sleep_for(pause); });
}

// Room for all handles, resident from the start: what malloc keeps is not to be measured.
std::vector<JoinHandle<void>>& Handles() {
  static auto* const handles = [] {
    auto* made = new std::vector<JoinHandle<void>>(kAtATime);
    made->clear();
    return made;
  }();
  return *handles;
}

// Has `count` tasks wait for one thing at once; returns how many KiB are resident then.
int64_t Storm(int count = kAtATime) {
  WaitGroup gate;
  gate.Add(1);
  WaitGroup ready;
  std::vector<JoinHandle<void>>& tasks = Handles();
  for (int i = 0; i < count; ++i) {
    ready.Add(1);
    tasks.push_back(Go({.name = "short"}, [&] {
      ready.Done();
      gate.Wait();
    }));
  }
  ready.Wait();
  const int64_t resident = ResidentKib();
  gate.Done();
  for (auto& task : tasks) task.Join();
  tasks.clear();
  return resident;
}

// A runtime with every worker that there can be in place of held ones, 30 KiB each: if the kernel
// holds the others up, they come one by one, and stay. And without the stacks that it took.
std::unique_ptr<Runtime> WithAllWorkers(int workers, size_t stacks_cached) {
  constexpr int kSurplusMax = 64;
  RuntimeOptions options;
  options.workers = workers;
  options.stacks_cached = stacks_cached;
  options.long_slice = std::chrono::nanoseconds(0);  // a report allocates
  auto runtime = Runtime::Create(options).value();
  std::atomic<int> held{0};
  std::vector<JoinHandle<void>> tasks;
  for (int i = 0; i < workers + kSurplusMax; ++i) {
    tasks.push_back(runtime->Go([&held, all = workers + kSurplusMax] {
      ++held;
      while (held < all) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }));
  }
  for (auto& task : tasks) task.Join();
  const auto has_stacks = [&] {
    const RuntimeStats stats = runtime->Stats();
    return stats.stacks_in_use + stats.stacks_cached > stacks_cached;
  };
  while (has_stacks()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return runtime;
}

void ExpectMemoryBack(size_t stacks_cached) {
  const auto runtime = WithAllWorkers(/*workers=*/4, stacks_cached);
  // The code, too, becomes resident, and what malloc keeps; what this leaves is back before the
  // start.
  runtime->Run([] { Storm(2000); });
  std::this_thread::sleep_for(std::chrono::seconds(4));
  const int64_t start = ResidentKib();
  const int64_t page_tables = PageTablesKib();
  int64_t most = 0;
  for (int wave = 0; wave < kWaves; ++wave) {
    most = runtime->Run([] { return Storm(); });
  }
  EXPECT_GT(most, int64_t{kAtATime} * 4);  // a page for each stack
  // A cached stack has one page, seldom two.
  const int64_t limit = (start + static_cast<int64_t>(stacks_cached) * 4) * 105 / 100;
  const int64_t resident = AwaitResident(limit);
  EXPECT_LE(resident, limit) << "from " << start << " KiB at the start, " << most << " at most";
  if (stacks_cached == 0) {  // half a KiB a stack while they live
    EXPECT_LE(PageTablesKib(), page_tables + kAtATime / 2 / 10);
  }
  // And all of it works again.
  runtime->Run([&] { Storm(); });
}

TEST(Memory, ComesBackAfterAMillionTasks) { ExpectMemoryBack(/*stacks_cached=*/0); }

TEST(Memory, ComesBackButForTheCache) { ExpectMemoryBack(RuntimeOptions{}.stacks_cached); }

// A worker that has something to do now and then keeps no more than one that sleeps.
TEST(Memory, ComesBackWhileATaskTicks) {
  const auto runtime = WithAllWorkers(/*workers=*/2, /*stacks_cached=*/0);
  runtime->Run([] {
    Storm(16);
    const int64_t start = ResidentKib();
    Storm();
    const int64_t limit = start * 105 / 100;
    EXPECT_LE(
        AwaitResident(limit, std::chrono::milliseconds(20), [](auto pause) { SleepFor(pause); }),
        limit);
  });
}

void Sleepers(int count) {
  std::vector<JoinHandle<void>>& tasks = Handles();
  for (int i = 0; i < count; ++i) {
    tasks.push_back(Go([] { SleepFor(std::chrono::milliseconds(500)); }));
  }
  for (auto& task : tasks) task.Join();
  tasks.clear();
}

// The timer heap, too.
TEST(Memory, ComesBackAfterManySleepers) {
  const auto runtime = WithAllWorkers(/*workers=*/2, /*stacks_cached=*/0);
  runtime->Run([] { Sleepers(16); });
  const int64_t start = ResidentKib();
  runtime->Run([] { Sleepers(kAtATime); });
  EXPECT_LE(AwaitResident(start * 105 / 100), start * 105 / 100);
}

}  // namespace
}  // namespace curg

#endif
