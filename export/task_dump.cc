// SPDX-License-Identifier: Apache-2.0
#include "export/task_dump.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "export/output_file.h"
#include "export/task_json.h"
#include "export/task_pprof.h"
#include "profiler/task_profiler.h"
#include "profiler/wait_graph.h"
#include "runtime/futex.h"
#include "runtime/thread_registry.h"

namespace curg {
namespace {

bool WriteToStderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR) return false;  // nowhere to complain
    if (written > 0) text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

// The tasks of one circle alone.
TaskProfile Part(const TaskProfile& profile, const std::vector<size_t>& numbers) {
  TaskProfile part;
  part.time = profile.time;
  part.stacks = profile.stacks;
  part.spawn_stacks = profile.spawn_stacks;
  part.tags = profile.tags;
  part.names = profile.names;
  part.groups = profile.groups;
  for (const size_t number : numbers) part.tasks.push_back(profile.tasks[number]);
  part.total = part.matching = static_cast<int64_t>(numbers.size());
  return part;
}

// Waits for the handler to move the count, for ever.
class DumpThread {
 public:
  static DumpThread& Instance() {
    static DumpThread* const instance = new DumpThread;  // signals come to the end
    return *instance;
  }

  // Async-signal-safe.
  void Wake() {
    asked_.fetch_add(1, std::memory_order_release);  // release: pairs with Run()
    internal::FutexWake(asked_);
  }

 private:
  DumpThread() {
    std::thread thread([this] { Run(); });
    pthread_setname_np(thread.native_handle(), "curg-dump");
    thread.detach();  // to the end of the process
  }

  void Run() {
    internal::ScopedKnownThread known(internal::ThreadKind::kService);
    for (uint32_t done = 0;;) {
      const uint32_t asked = asked_.load(std::memory_order_acquire);  // acquire: pairs with Wake()
      if (asked == done) {
        internal::FutexWait(asked_, asked);
        continue;
      }
      done = asked;
      DumpTasks();
    }
  }

  std::atomic<uint32_t> asked_{0};
};

std::atomic<DumpThread*> g_thread{nullptr};

void OnDumpSignal(int) {
  const int saved_errno = errno;
  g_thread.load(std::memory_order_relaxed)->Wake();  // relaxed: stored before the handler was
                                                     // installed
  errno = saved_errno;
}

void TellError(const absl::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "curg: no task dump: %s\n", status.ToString().c_str());
}

absl::Status WriteFile(const std::string& path, const std::string& text) {
  absl::StatusOr<internal::OutputFile> file = internal::OutputFile::Open(path);
  return file.ok() ? file->Commit(text) : file.status();
}

}  // namespace

bool WriteTaskDump(const TaskProfile& profile, TextSink sink, const TaskDumpOptions& options) {
  for (const std::vector<size_t>& cycle : WaitCycles(profile)) {
    if (!sink(WaitCycleText(profile, cycle)) || !WriteTaskText(Part(profile, cycle), sink) ||
        !sink("\n"))
      return false;
  }
  if (profile.tasks.size() > options.tasks_max) {
    return WriteGroupedTaskText(profile, sink, {.paragraphs_max = options.groups_max});
  }
  return WriteTaskText(profile, sink);
}

void DumpTasks(const TaskDumpOptions& options) {
  WriteTaskDump(internal::CollectTaskProfileHere({}), WriteToStderr, options);
}

int64_t DumpTasksParkedFor(std::chrono::nanoseconds age, const TaskDumpOptions& options) {
  const TaskProfile profile =
      internal::CollectTaskProfileHere({.status = TaskStatus::kParked, .age_min = age});
  WriteTaskDump(profile, WriteToStderr, options);
  return profile.matching;
}

absl::Status InstallTaskDumpSignal(int signal) {
  struct sigaction now = {};
  if (sigaction(signal, nullptr, &now) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("signal ", signal, ": ", std::strerror(errno)));
  }
  if ((now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != SIG_DFL) {
    return absl::FailedPreconditionError(
        absl::StrCat("signal ", signal, " is handled or ignored by the program already"));
  }
  g_thread.store(&DumpThread::Instance(), std::memory_order_relaxed);
  struct sigaction action = {};
  action.sa_handler = &OnDumpSignal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  if (sigaction(signal, &action, nullptr) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("signal ", signal, ": ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

void DumpTasksOfTest(const std::string& folder) {
  const TaskProfile profile = internal::CollectTaskProfileHere({});
  WriteTaskDump(profile, WriteToStderr);
  if (folder.empty()) return;
  std::string text;
  WriteTaskDump(profile,
                [&](std::string_view piece) {
                  text.append(piece);
                  return true;
                },
                {.tasks_max = SIZE_MAX});
  TellError(WriteFile(folder + "/tasks.txt", text));
  TellError(WriteFile(folder + "/tasks.jsonl", TaskJson(profile)));
  TellError(WriteTaskPprof(profile, folder + "/tasks.pb.gz"));
}

int64_t ReportLeakedTasks() {
  const TaskProfile profile = internal::CollectTaskProfileHere({});
  if (profile.total == 0) return 0;
  WriteToStderr(absl::StrCat("curg: ", profile.total,
                             profile.total == 1 ? " task is" : " tasks are",
                             " still alive, leaked perhaps\n"));
  WriteTaskDump(profile, WriteToStderr);
  return profile.total;
}

}  // namespace curg
