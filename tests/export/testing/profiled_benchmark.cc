// SPDX-License-Identifier: Apache-2.0
//
// A benchmark that knows nothing of profiles, for profiled_tests_test.
#include <chrono>

#include "benchmark/benchmark.h"
#include "tests/profiler/burn.h"

namespace curg {

[[gnu::noinline]] void BurnInBenchmark() {
  internal::BurnCpu(std::chrono::milliseconds(5));
  asm volatile("" ::: "memory");  // no tail call: the frame must stay
}

void BM_Burn(benchmark::State& state) {
  for (auto _ : state) BurnInBenchmark();
}
BENCHMARK(BM_Burn);

}  // namespace curg

BENCHMARK_MAIN();
