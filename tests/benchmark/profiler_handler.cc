// SPDX-License-Identifier: Apache-2.0
//
// What a sample costs: the handler from its first to its last instruction, and the ring alone.
#include <signal.h>
#include <x86intrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "profiler/prof_buf.h"
#include "profiler/sigprof.h"
#include "runtime/go.h"
#include "runtime/unwind_table.h"
#include "tests/benchmark/profiler_groups.h"
#include "tests/profiler/signal_storm.h"
#include "tests/runtime/mixed_work.h"

namespace curg {
namespace {

using internal::MixedWork;
using Clock = std::chrono::steady_clock;

double NsPerTick() {
  const Clock::time_point start = Clock::now();
  const uint64_t ticks = __rdtsc();
  while (Clock::now() - start < std::chrono::milliseconds(50)) {
  }
  const std::chrono::duration<double, std::nano> passed = Clock::now() - start;
  return passed.count() / static_cast<double>(__rdtsc() - ticks);
}

// ---- The handler.

constexpr size_t kSamplesMax = 1 << 20;
uint64_t g_ticks[kSamplesMax];
std::atomic<size_t> g_count{0};

// Around the profiler's own.
void TimedHandler(int signal, siginfo_t* info, void* context) {
  const uint64_t begin = __rdtsc();
  internal::OnSigprof(signal, info, context);
  const uint64_t ticks = __rdtsc() - begin;
  const size_t i = g_count.fetch_add(1, std::memory_order_relaxed);
  if (i < kSamplesMax) g_ticks[i] = ticks;
}

__attribute__((noinline)) void Below(int depth, const std::atomic<bool>& stop) {
  if (depth > 0) {
    Below(depth - 1, stop);
  } else {
    while (!stop.load(std::memory_order_relaxed)) MixedWork(1);
  }
  asm volatile("" ::: "memory");  // no tail call
}

struct HandlerCost {
  double mean_ns = 0;
  double p50_ns = 0;
  double p99_ns = 0;
  double depth = 0;
  size_t samples = 0;
};

HandlerCost MeasureAtRate(int rate_hz, std::chrono::seconds duration) {
  g_count.store(0);
  std::atomic<bool> stop{false};
  int64_t frames = 0;
  int64_t samples = 0;
  curg::Run({.workers = 1, .long_slice = std::chrono::milliseconds(0)}, [&] {
    internal::SignalStorm storm({.rate_hz = rate_hz},
                                [&](const internal::ProfHeader&, std::span<const uintptr_t> pcs) {
                                  frames += static_cast<int64_t>(pcs.size());
                                  ++samples;
                                });
    struct sigaction timed {};
    struct sigaction before {};
    timed.sa_sigaction = &TimedHandler;
    timed.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigaction(SIGPROF, &timed, &before);
    JoinHandle<void> work = Go([&stop] { Below(10, stop); });
    std::thread timer([&stop, duration] {
      std::this_thread::sleep_for(duration);
      stop = true;
    });
    work.Join();
    storm.Stop();
    sigaction(SIGPROF, &before, nullptr);
    timer.join();
  });
  const size_t count = std::min(g_count.load(), kSamplesMax);
  std::sort(g_ticks, g_ticks + count);
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += static_cast<double>(g_ticks[i]);
  const double tick = NsPerTick();
  return {.mean_ns = tick * sum / static_cast<double>(count),
          .p50_ns = tick * static_cast<double>(g_ticks[count / 2]),
          .p99_ns = tick * static_cast<double>(g_ticks[count * 99 / 100]),
          .depth = static_cast<double>(frames) / static_cast<double>(samples),
          .samples = count};
}

void ReportHandler(const char* rate, const HandlerCost& cost, double target_us,
                   ProfilerReport& report) {
  const std::string at = std::string("at ") + rate;
  report.Add("handler, mean " + at, cost.mean_ns / 1e3, "us", Bound::AtMost(target_us));
  report.Add("  median", cost.p50_ns / 1e3, "us", Bound::None());
  report.Add("  99th percentile", cost.p99_ns / 1e3, "us", Bound::None());
  report.Add("  mean depth", cost.depth, "frames", Bound::None());
}

// ---- The ring.

constexpr size_t kDepth = 64;
constexpr int kBatch = 100;  // fits into the ring
constexpr size_t kRingWords = 16384;

// Nanoseconds for one record of 64 frames, the reader emptying the ring in between.
double PutNs(int batches) {
  std::vector<uint64_t> words(kRingWords);
  internal::ProfBuf buffer(words, kDepth);
  std::vector<uintptr_t> stack(kDepth, 0x1234);
  std::vector<double> ticks;
  for (int i = 0; i < batches; ++i) {
    const uint64_t begin = __rdtsc();
    for (int n = 0; n < kBatch; ++n) {
      const std::span<uintptr_t> pcs = buffer.BeginWrite();
      std::copy(stack.begin(), stack.end(), pcs.begin());
      buffer.CommitWrite({.time = static_cast<uint64_t>(n), .periods = 1}, kDepth);
    }
    ticks.push_back(static_cast<double>(__rdtsc() - begin) / kBatch);
    internal::ProfHeader header;
    std::span<const uintptr_t> pcs;
    while (buffer.Read(header, pcs)) {
    }
  }
  std::nth_element(ticks.begin(), ticks.begin() + ticks.size() / 2, ticks.end());
  return NsPerTick() * ticks[ticks.size() / 2];
}

// Offers more than there is room for; returns the samples that were neither read nor told as lost.
int64_t Unaccounted(int64_t offered) {
  std::vector<uint64_t> words(1024);
  internal::ProfBuf buffer(words, kDepth);
  int64_t accounted = 0;
  for (int64_t i = 0; i < offered; ++i) {
    if (buffer.BeginWrite().empty()) {
      buffer.Lose(static_cast<uint64_t>(i), 1);
    } else {
      buffer.CommitWrite({.time = static_cast<uint64_t>(i), .periods = 1}, kDepth);
    }
    internal::ProfHeader header;
    std::span<const uintptr_t> pcs;
    if (i % 50 == 0 && buffer.Read(header, pcs)) accounted += header.samples;
  }
  internal::ProfHeader header;
  std::span<const uintptr_t> pcs;
  while (buffer.Read(header, pcs)) accounted += header.samples;
  return offered - accounted;
}

}  // namespace

void MeasureHandler(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  (void)internal::RefreshUnwindTables();
  MixedWork(1);
  ReportHandler("1 kHz", MeasureAtRate(1000, std::chrono::seconds(options.quick ? 1 : 10)), 2.5,
                report);
  ReportHandler("100 Hz", MeasureAtRate(100, std::chrono::seconds(options.quick ? 3 : 30)), 6,
                report);
}

void MeasureRing(const ProfilerBenchmarkOptions& options, ProfilerReport& report) {
  report.Add("ring: one record of 64 frames, warm", PutNs(options.quick ? 1000 : 10'000), "ns",
             Bound::AtMost(40));
  report.Add("full ring: samples neither read nor told as lost",
             static_cast<double>(Unaccounted(100'000)), "", Bound::Between(0, 0));
}

}  // namespace curg
