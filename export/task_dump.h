// SPDX-License-Identifier: Apache-2.0
//
// Task dumps: all tasks as text where somebody will read them. For a program that hangs:
//
//   curg::InstallTaskDumpSignal().IgnoreError();   // then: kill -QUIT <pid>, or Ctrl-\ in its
//                                                  terminal
#pragma once

#include <signal.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "export/task_text.h"
#include "profiler/task_profile.h"

namespace curg {

struct TaskDumpOptions {
  // More tasks than this are shown in groups.
  size_t tasks_max = 1000;
  size_t groups_max = 1000;
};

// First the tasks that wait for each other in a circle, if any, with every one's stack: a deadlock
// of a part of the program. Then all of them. As WriteTaskText.
bool WriteTaskDump(const TaskProfile& profile, TextSink sink, const TaskDumpOptions& options = {});

// Collects and writes to standard error, on the calling thread and without help from the runtime.
// Thread-safe. Not async-signal-safe. Blocks: the thread.
void DumpTasks(const TaskDumpOptions& options = {});

// As DumpTasks, of the tasks that have been parked for at least `age`: those that leaked are among
// them. Returns how many there are.
int64_t DumpTasksParkedFor(std::chrono::nanoseconds age, const TaskDumpOptions& options = {});

// From now on `signal` makes the process dump its tasks to standard error, from a thread of its
// own, and go on. Signals that come while a dump is written make one more. FAILED_PRECONDITION: the
// program handles or ignores it already; INVALID_ARGUMENT: it cannot be handled. Once a process and
// signal.
// Thread-safe. Blocks: nothing.
absl::Status InstallTaskDumpSignal(int signal = SIGQUIT);

// For a test that took too long: the dump to standard error, and whole, as tasks.txt, tasks.jsonl
// and tasks.pb.gz, into `folder` (TEST_UNDECLARED_OUTPUTS_DIR), if it is not empty. Errors are told
// on standard error. As DumpTasks.
void DumpTasksOfTest(const std::string& folder);

// At the end of a test, when all tasks should be: tells of those still alive, with what they wait
// for and where they were spawned, on standard error. Returns how many there are. As DumpTasks.
int64_t ReportLeakedTasks();

}  // namespace curg
