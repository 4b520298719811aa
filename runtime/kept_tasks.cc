// SPDX-License-Identifier: Apache-2.0
#include "runtime/kept_tasks.h"

#include <algorithm>
#include <memory>
#include <string_view>

#include "runtime/roll_caller.h"

namespace curg::internal {
namespace {

constexpr size_t kFramesMax = 64;
constexpr size_t kNameMax = 63;

// Null: it runs.
const char* WaitOf(const TaskSighting& seen) {
  switch (seen.kind) {
    case SightingKind::kNotStarted:
      return "not started";
    case SightingKind::kBlocking:
      return "in Blocking";
    case SightingKind::kSuspended:
      return seen.state == TaskState::kParked ? WaitReasonName(seen.wait_reason) : "runnable";
    default:
      return nullptr;
  }
}

}  // namespace

KeptTasks::KeptTasks(absl::FunctionRef<bool(const TaskSighting&)> wanted, size_t most,
                     int64_t patience_ns) {
  // On the heap: it is large, and this may be a task's stack.
  const auto caller = std::make_unique<RollCaller>(
      RollCallerOptions{.depth_max = kFramesMax, .patience_ns = patience_ns});
  caller->Call([&](const TaskSighting& seen) {
    if (wanted(seen) && ++total_ <= most) Keep(seen);
  });
  std::ranges::sort(tasks_, {}, &ReportedTask::id);
}

void KeptTasks::Keep(const TaskSighting& seen) {
  const Kept& kept = kept_.emplace_back(Kept{.name = std::string(seen.name.substr(0, kNameMax)),
                                             .stack = {seen.stack.begin(), seen.stack.end()},
                                             .tag = TagRef::Share(seen.tag)});
  tasks_.push_back({.id = seen.id,
                    .name = kept.name,
                    .tag = seen.tag,
                    .spawner_id = seen.spawner_id,
                    .spawn_pc = seen.spawn_pc,
                    .stack_size = seen.stack_size,
                    .wait = WaitOf(seen),
                    .stack = kept.stack,
                    .stack_cut = seen.stack_end != TracebackEnd::kRoot});
}

}  // namespace curg::internal
