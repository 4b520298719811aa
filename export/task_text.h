// SPDX-License-Identifier: Apache-2.0
//
// Task profiles as text for people.
//
//   std::cout << curg::TaskText(curg::CollectTaskProfile());
//
// One paragraph a task, in the style of a Go traceback:
//
//   task 7 "reader" {"tenant":"a"} [channel receive on 0x7f52d4a01c80, 2.3s]:
//       Reader(curg::Channel<int>&) server.cc:41
//       main::{lambda()#1}::operator()() const server.cc:77
//     spawned by task 1 at main::{lambda()#1}::operator()() const server.cc:80
//
// or grouped, one paragraph for all tasks of equal stack, labels and wait, the most frequent first:
//
//   1000 tasks {"tenant":"a"} [channel receive, 2.3s to 4m10s]:
//       ...
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "profiler/task_profile.h"

namespace curg {

namespace internal {
class ReportWords;
}  // namespace internal

// Takes text piece by piece, each of whole lines. False: no more, please.
using TextSink = absl::FunctionRef<bool(std::string_view text)>;

struct TaskTextOptions {
  // Paragraphs; what is left out is counted in the last line.
  size_t paragraphs_max = SIZE_MAX;
};

// One paragraph a task, by id; of a profile made without each_task, GroupedTaskText. Streamed:
// however many tasks there are, `sink` gets some 64 KiB at a time. False: it wanted no more.
// Blocks: the thread (on a task: not the worker), reading symbols the first time; then about half a
// microsecond a task.
bool WriteTaskText(const TaskProfile& profile, TextSink sink, const TaskTextOptions& options = {});
bool WriteGroupedTaskText(const TaskProfile& profile, TextSink sink,
                          const TaskTextOptions& options = {});

// The same in one piece.
std::string TaskText(const TaskProfile& profile, const TaskTextOptions& options = {});
std::string GroupedTaskText(const TaskProfile& profile, const TaskTextOptions& options = {});

// "partial deadlock: 2 tasks wait for each other: task 4 -> task 7 -> task 4\n", of one of
// WaitCycles(profile) (profiler/wait_graph.h).
std::string WaitCycleText(const TaskProfile& profile, const std::vector<size_t>& cycle);

namespace internal {

// With words of the caller's own: addresses only, say. On this thread. For `words` that need a
// large stack, from a thread.
bool WriteTaskText(const TaskProfile& profile, ReportWords& words, TextSink sink,
                   const TaskTextOptions& options);
bool WriteGroupedTaskText(const TaskProfile& profile, ReportWords& words, TextSink sink,
                          const TaskTextOptions& options);

}  // namespace internal
}  // namespace curg
