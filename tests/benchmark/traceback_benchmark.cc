// SPDX-License-Identifier: Apache-2.0
//
// What a walk costs: warm, by depth; with tables and decoded on the spot; against libunwind.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <ucontext.h>

#include <cstdint>

#include "runtime/libunwind.h"
#include "runtime/loaded_modules.h"
#include "runtime/module_table.h"
#include "runtime/traceback.h"
#include "runtime/unwind_index.h"
#include "runtime/unwind_table.h"

namespace curg::internal {
namespace {

constexpr size_t kDepthMax = 512;

StackBounds BoundsOfThisThread() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t size = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  return {reinterpret_cast<uintptr_t>(low), reinterpret_cast<uintptr_t>(low) + size};
}

// Runs `body` below `depth` frames.
__attribute__((noinline)) void AtDepth(int64_t depth, void (*body)(benchmark::State&),
                                       benchmark::State& state) {
  if (depth == 0) {
    body(state);
  } else {
    AtDepth(depth - 1, body, state);
  }
  asm volatile("" ::: "memory");  // no tail call
}

void ReportFrames(benchmark::State& state, size_t depth) {
  state.counters["frames"] = static_cast<double>(depth);
  state.counters["time_per_frame"] =
      benchmark::Counter(static_cast<double>(depth), benchmark::Counter::kIsIterationInvariantRate |
                                                         benchmark::Counter::kInvert);
}

void WalkHere(benchmark::State& state) {
  const StackBounds bounds = BoundsOfThisThread();
  uintptr_t pcs[kDepthMax];
  size_t depth = 0;
  for (auto _ : state) depth = WalkStack(RegistersHere(), bounds, pcs).depth;
  ReportFrames(state, depth);
}

// Runs first: once there are tables, they are used.
void WalkStackDecoding(benchmark::State& state) {
  if (ProcessUnwindIndex().current() != nullptr) state.SkipWithError("there are tables already");
  AtDepth(state.range(0), &WalkHere, state);
}
BENCHMARK(WalkStackDecoding)->Arg(16)->Arg(48);

void WalkStackWithTables(benchmark::State& state) {
  if (!RefreshUnwindTables().ok()) state.SkipWithError("no unwind tables");
  AtDepth(state.range(0), &WalkHere, state);
}
BENCHMARK(WalkStackWithTables)->Arg(0)->Arg(16)->Arg(48)->Arg(112);

void LibUnwindHere(benchmark::State& state) {
  const absl::StatusOr<const LibUnwind*> library = LibUnwind::Open();
  if (!library.ok()) return state.SkipWithError("libunwind is not installed");
  ucontext_t context;
  getcontext(&context);
  uintptr_t pcs[kDepthMax];
  size_t depth = 0;
  for (auto _ : state) depth = (*library)->Walk(context, pcs);
  ReportFrames(state, depth);
}

void LibUnwindWalk(benchmark::State& state) { AtDepth(state.range(0), &LibUnwindHere, state); }
BENCHMARK(LibUnwindWalk)->Arg(0)->Arg(16)->Arg(48);

void RefreshUnchanged(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(RefreshUnwindTables().ok());
}
BENCHMARK(RefreshUnchanged);

void CompileAllTables(benchmark::State& state) {
  size_t bytes = 0;
  for (auto _ : state) {
    LoaderGeneration generation;
    bytes = 0;
    VisitLoadedModules(&generation, [&](const LoadedModule& module) {
      const auto table = ModuleTable::Compile(module);
      if (table != nullptr) bytes += table->memory();
    });
  }
  state.counters["table_bytes"] = static_cast<double>(bytes);
}
BENCHMARK(CompileAllTables)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace curg::internal

BENCHMARK_MAIN();
