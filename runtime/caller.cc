// SPDX-License-Identifier: Apache-2.0
#include "runtime/caller.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"
#include "runtime/worker.h"

namespace curg::internal {

std::string CallerName() {
  const Task* task = CurrentTask();
  if (task == nullptr) return absl::StrCat("plain thread ", gettid());
  const std::string_view name = task->name();
  if (name.empty()) return absl::StrCat("task ", task->id);
  return absl::StrCat("task ", task->id, " \"", absl::string_view(name.data(), name.size()), "\"");
}

const void* CallerToken() {
  const Task* task = CurrentTask();
  return task != nullptr ? static_cast<const void*>(task) : &ThisThread();
}

bool OthersMayRun() {
  const Worker* worker = CurrentWorker();
  return worker == nullptr || worker->scheduler.num_workers() > 1;
}

bool NobodyWaitsForWorker() {
  const Worker* worker = CurrentWorker();
  return worker == nullptr || !worker->processor->HasQueue();
}

// Never inlined: the address of the thread's variable must not outlive a park.
__attribute__((noinline)) uint32_t RandomBelow(uint32_t bound) {
  uint64_t& state = ThisThread().random;
  if (state == 0) state = reinterpret_cast<uintptr_t>(&state) ^ uint64_t { 0x9E3779B97F4A7C15 };
  // splitmix64: every state is a good one
  uint64_t mixed = state += 0x9E3779B97F4A7C15;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
  return static_cast<uint32_t>(((mixed >> 32) * bound) >> 32);
}

void FatalMisuse(const char* what) {
  std::fprintf(stderr, "curg: %s: %s\n", CallerName().c_str(), what);
  std::abort();
}

}  // namespace curg::internal
