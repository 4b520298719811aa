// SPDX-License-Identifier: Apache-2.0
//
// What the runtime's everyday operations cost. The argument is the number of workers (0: as many as
// CPUs); times are wall time for one operation.
#include <chrono>
#include <cstdint>
#include <vector>

#include "benchmark/benchmark.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/mutex.h"

namespace curg {
namespace {

RuntimeOptions WithWorkers(const benchmark::State& state) {
  RuntimeOptions options;
  if (state.range(0) > 0) options.workers = static_cast<int>(state.range(0));
  return options;
}

// Runs `body`, which does `operations` of something, on a fresh runtime, and times it alone.
template <typename Body>
void Measure(benchmark::State& state, int64_t operations, Body body) {
  auto runtime = Runtime::Create(WithWorkers(state)).value();
  for (auto _ : state) {
    const auto time = runtime->Run([&body] {
      const auto start = std::chrono::steady_clock::now();
      body();
      return std::chrono::steady_clock::now() - start;
    });
    state.SetIterationTime(std::chrono::duration<double>(time).count());
  }
  state.SetItemsProcessed(state.iterations() * operations);
  state.counters["per_op"] =
      benchmark::Counter(static_cast<double>(state.iterations() * operations),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void BM_YieldOneTask(benchmark::State& state) {
  constexpr int kYields = 1'000'000;
  Measure(state, kYields, [] {
    for (int i = 0; i < kYields; ++i) Yield();
  });
}

void BM_YieldManyTasks(benchmark::State& state) {
  constexpr int kTasks = 1000;
  constexpr int kYields = 1000;
  Measure(state, kTasks * kYields, [] {
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < kTasks; ++i) {
      tasks.push_back(Go([] {
        for (int j = 0; j < kYields; ++j) Yield();
      }));
    }
    for (auto& task : tasks) task.Join();
  });
}

void BM_CreateTasksInBatches(benchmark::State& state) {
  constexpr int kBatch = 1000;
  constexpr int kBatches = 200;
  Measure(state, kBatch * kBatches, [] {
    std::vector<JoinHandle<void>> tasks(kBatch);
    for (int i = 0; i < kBatches; ++i) {
      for (auto& task : tasks) task = Go([] {});
      for (auto& task : tasks) task.Join();
    }
  });
}

void BM_CreateTasksOneAtATime(benchmark::State& state) {
  constexpr int kTasks = 200'000;
  Measure(state, kTasks, [] {
    for (int i = 0; i < kTasks; ++i) Go([] {}).Join();
  });
}

void BM_PingPong(benchmark::State& state) {
  constexpr int kTrips = 200'000;
  Measure(state, kTrips, [] {
    Channel<int> ping;
    Channel<int> pong;
    auto other = Go([&] {
      for (int i = 0; i < kTrips; ++i) pong.Send(*ping.Receive());
    });
    for (int i = 0; i < kTrips; ++i) {
      ping.Send(i);
      benchmark::DoNotOptimize(pong.Receive());
    }
    other.Join();
  });
}

// `tasks` tasks that each take the lock very often.
void Contend(benchmark::State& state, int tasks) {
  constexpr int kEach = 100'000;
  Measure(state, int64_t{kEach} * tasks, [tasks] {
    Mutex mutex;
    int64_t count = 0;
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < tasks; ++i) {
      handles.push_back(Go([&] {
        for (int j = 0; j < kEach; ++j) {
          mutex.lock();
          ++count;
          mutex.unlock();
        }
      }));
    }
    for (auto& handle : handles) handle.Join();
    benchmark::DoNotOptimize(count);
  });
}

void BM_MutexOneTask(benchmark::State& state) { Contend(state, 1); }
// The same while dumps are to know who holds what.
void BM_MutexOneTaskOwnersKept(benchmark::State& state) {
  KeepMutexOwners(true);
  Contend(state, 1);
  KeepMutexOwners(false);
}
void BM_MutexFourTasks(benchmark::State& state) { Contend(state, 4); }
void BM_MutexManyTasks(benchmark::State& state) { Contend(state, 100); }

void BM_ManyProducersManyConsumers(benchmark::State& state) {
  constexpr int kEach = 50'000;
  Measure(state, 4 * kEach, [] {
    Channel<int> channel(128);
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 4; ++i) {
      handles.push_back(Go([&] {
        for (int j = 0; j < kEach; ++j) channel.Send(j);
      }));
      handles.push_back(Go([&] {
        for (int j = 0; j < kEach; ++j) benchmark::DoNotOptimize(channel.Receive());
      }));
    }
    for (auto& handle : handles) handle.Join();
  });
}

#define CURG_RUNTIME_BENCHMARK(name)                                          \
  BENCHMARK(name)->ArgName("workers")->Arg(1)->Arg(0)->UseManualTime()->Unit( \
      benchmark::kMillisecond)

CURG_RUNTIME_BENCHMARK(BM_YieldOneTask);
CURG_RUNTIME_BENCHMARK(BM_YieldManyTasks);
CURG_RUNTIME_BENCHMARK(BM_CreateTasksInBatches);
CURG_RUNTIME_BENCHMARK(BM_CreateTasksOneAtATime);
CURG_RUNTIME_BENCHMARK(BM_PingPong);
CURG_RUNTIME_BENCHMARK(BM_MutexOneTask);
CURG_RUNTIME_BENCHMARK(BM_MutexOneTaskOwnersKept);
CURG_RUNTIME_BENCHMARK(BM_MutexFourTasks);
CURG_RUNTIME_BENCHMARK(BM_MutexManyTasks);
CURG_RUNTIME_BENCHMARK(BM_ManyProducersManyConsumers);

}  // namespace
}  // namespace curg
