// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/caller.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"
#include "runtime/worker.h"

namespace curg::internal {

std::string CallerName() {
  const Task* task = CurrentTask();
  if (task == nullptr) return absl::StrCat("plain thread ", gettid());
  if (task->name.empty()) return absl::StrCat("task ", task->id);
  return absl::StrCat("task ", task->id, " \"", task->name, "\"");
}

const void* CallerToken() {
  const Task* task = CurrentTask();
  return task != nullptr ? static_cast<const void*>(task) : &ThisThread();
}

bool OthersMayRun() {
  const Worker* worker = CurrentWorker();
  return worker == nullptr || worker->scheduler.num_workers() > 1;
}

void FatalMisuse(const char* what) {
  std::fprintf(stderr, "curg: %s: %s\n", CallerName().c_str(), what);
  std::abort();
}

}  // namespace curg::internal
