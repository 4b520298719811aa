// SPDX-License-Identifier: Apache-2.0
//
// KeptTasks: tasks as reports show them (reporter.h), found by a roll call and kept for as long as
// this lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "runtime/reporter.h"
#include "runtime/tag.h"
#include "runtime/task_sighting.h"

namespace curg::internal {

// Thread-compatible.
class KeptTasks {
 public:
  // Calls the roll, and keeps the first `most` tasks for whom `wanted` says so; the others are only
  // counted.
  // Blocks: the thread, as RollCaller::Call; with tasks that do not answer no longer than
  // `patience_ns`.
  KeptTasks(absl::FunctionRef<bool(const TaskSighting&)> wanted, size_t most, int64_t patience_ns);
  KeptTasks(const KeptTasks&) = delete;
  KeptTasks& operator=(const KeptTasks&) = delete;

  std::span<const ReportedTask> tasks() const { return tasks_; }  // by id
  size_t total() const { return total_; }

 private:
  // What a ReportedTask refers to.
  struct Kept {
    std::string name;
    std::vector<uintptr_t> stack;
    TagRef tag;
  };

  void Keep(const TaskSighting& seen);

  size_t total_ = 0;
  std::deque<Kept> kept_;  // nothing in it moves
  std::vector<ReportedTask> tasks_;
};

}  // namespace curg::internal
