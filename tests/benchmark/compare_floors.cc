// SPDX-License-Identifier: Apache-2.0
//
// What the machine itself takes for a step that some workloads cannot do without: the floors of the
// comparison. No runtime; plain threads.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <thread>

#include "tests/benchmark/peers/measure.h"

namespace peers {
namespace {

// Locking and unlocking with nobody else there: one compare-and-swap and one atomic store.
void MeasureCasAndStore(const Arguments& arguments) {
  std::atomic<uint32_t> word = 0;
  Stretch stretch;
  for (int64_t i = 0; i < arguments.ops; ++i) {
    uint32_t expected = 0;
    if (!word.compare_exchange_strong(expected, 1)) std::abort();
    word.store(0, std::memory_order_release);
  }
  stretch.Stop();
  ReportPerOp("", "ns/op", arguments.ops, stretch);
}

// A cache line goes from one CPU to another: half of a round trip. The least of many stretches,
// and limited in time, since it takes milliseconds while the two threads share a CPU.
void MeasureCacheLine(const Arguments& arguments) {
  constexpr int64_t kOver = -1;
  constexpr int64_t kStretch = 512;
  std::atomic<int64_t> turn = 0;  // even: ours, odd: the other's; relaxed: carries only itself
  std::thread other([&turn] {
    for (int64_t next = 1;;) {
      const int64_t now = turn.load(std::memory_order_relaxed);
      if (now == kOver) return;
      if (now != next) continue;
      turn.store(next + 1, std::memory_order_relaxed);
      next += 2;
    }
  });
  Stretch all;
  const int64_t end = NowNs() + 300'000'000;
  int64_t least_ns = std::numeric_limits<int64_t>::max();
  for (int64_t done = 0, now = NowNs(); done < arguments.ops && now < end;) {
    const int64_t start = now;
    for (const int64_t until = done + kStretch; done < until;) {
      turn.store(done + 1, std::memory_order_relaxed);
      done += 2;
      while (turn.load(std::memory_order_relaxed) != done) {
      }
    }
    now = NowNs();
    least_ns = std::min(least_ns, now - start);
  }
  all.Stop();
  turn.store(kOver, std::memory_order_relaxed);
  other.join();
  Report("", "ns/op", static_cast<double>(least_ns) / kStretch, all);
}

// The first write to a page of a new mapping; its neighbours are not touched, as those at the tops
// of stacks are no neighbours.
void MeasureFirstTouch(const Arguments& arguments) {
  constexpr size_t kApart = size_t{256} << 10;
  const size_t size = kApart * static_cast<size_t>(arguments.tasks);
  void* mapping = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    std::perror("mmap");
    std::exit(1);
  }
  madvise(mapping, size, MADV_NOHUGEPAGE);
  const int64_t before = ResidentBytes();
  Stretch stretch;
  for (int64_t i = 0; i < arguments.tasks; ++i) {
    static_cast<volatile char*>(mapping)[static_cast<size_t>(i) * kApart] = 1;
  }
  stretch.Stop();
  const auto resident = static_cast<double>(ResidentBytes() - before);
  ReportPerOp("create", "ns/task", arguments.tasks, stretch);
  Report("resident", "bytes/task", resident / static_cast<double>(arguments.tasks), stretch);
}

// The longest chain of sleeps.
void ReportLongestChain(const Arguments& arguments) {
  std::chrono::microseconds longest(0);
  for (int64_t i = 0; i < arguments.tasks; ++i) {
    std::chrono::microseconds chain(0);
    for (int64_t j = 0; j < arguments.ops; ++j) chain += SleepTime(i, j);
    longest = std::max(longest, chain);
  }
  Report("wall", "ms", static_cast<double>(longest.count()) / 1e3, Stretch());
}

}  // namespace
}  // namespace peers

int main(int argc, char** argv) {
  const peers::Arguments arguments = peers::ParseArguments(argc, argv);
  if (arguments.workload == "cas_and_store") {
    peers::MeasureCasAndStore(arguments);
  } else if (arguments.workload == "cache_line") {
    peers::MeasureCacheLine(arguments);
  } else if (arguments.workload == "first_touch") {
    peers::MeasureFirstTouch(arguments);
  } else if (arguments.workload == "longest_chain") {
    peers::ReportLongestChain(arguments);
  } else {
    peers::UnknownWorkload(arguments.workload);
  }
  return 0;
}
