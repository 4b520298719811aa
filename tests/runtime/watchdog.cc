// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/watchdog.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

#include "runtime/task.h"
#include "runtime/task_slab.h"

namespace curg::internal {
namespace {

const char* StateName(TaskState state) {
  switch (state) {
    case TaskState::kFree:
      return "free";
    case TaskState::kNew:
      return "new";
    case TaskState::kDelayed:
      return "delayed";
    case TaskState::kRunnable:
      return "runnable";
    case TaskState::kRunning:
      return "running";
    case TaskState::kBlocking:
      return "blocking";
    case TaskState::kParked:
      return "parked";
    case TaskState::kEnded:
      return "ended";
  }
  return "?";
}

// Reads what others may be writing: good enough for last words.
void PrintTasks() {
  std::map<std::pair<TaskState, WaitReason>, int> counts;
  TaskSlab::Instance().ForEach([&counts](const Task& task) {
    const TaskState state = task.state.load(std::memory_order_relaxed);
    ++counts[{state, state == TaskState::kParked ? task.wait_reason.load() : WaitReason::kNone}];
  });
  for (const auto& [key, count] : counts) {
    std::fprintf(stderr, "  %6d tasks %s (%s)\n", count, StateName(key.first),
                 WaitReasonName(key.second));
  }
}

}  // namespace

Watchdog::Watchdog(std::chrono::seconds patience)
    : thread_([this, patience] { Watch(patience); }) {}

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(lock_);
    done_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Watchdog::Watch(std::chrono::seconds patience) {
  constexpr std::chrono::milliseconds kStep(100);
  std::chrono::milliseconds stood_still(0);
  std::unique_lock lock(lock_);
  uint64_t seen = progress_.load(std::memory_order_relaxed);
  while (!changed_.wait_for(lock, kStep, [this] { return done_; })) {
    const uint64_t now = progress_.load(std::memory_order_relaxed);
    stood_still = now == seen ? stood_still + kStep : std::chrono::milliseconds(0);
    if (stood_still >= patience) {
      std::fprintf(stderr, "no progress for %lld s after %llu steps:\n",
                   static_cast<long long>(patience.count()), static_cast<unsigned long long>(now));
      PrintTasks();
      std::abort();
    }
    seen = now;
  }
}

}  // namespace curg::internal
