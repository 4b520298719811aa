// SPDX-License-Identifier: Apache-2.0
#include "runtime/deadlock_watch.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string_view>

#include "runtime/park.h"
#include "runtime/schedule_seed.h"
#include "runtime/task.h"
#include "runtime/task_name.h"
#include "runtime/task_slab.h"
#include "runtime/thread_registry.h"
#include "runtime/thread_state.h"
#include "runtime/timers.h"
#include "runtime/traceback.h"
#include "runtime/unstable_reads.h"
#include "runtime/unwind_table.h"

namespace curg::internal {
namespace {

constexpr int64_t kConfirmNs = 10'000'000;
constexpr int64_t kFirstBackoffNs = 500'000'000;  // while other threads are about, which end or
                                                  // begin to wait unheard
constexpr int64_t kLastBackoffNs = 60'000'000'000;
constexpr size_t kTasksMax = 10'000;
constexpr size_t kFramesMax = 64;
constexpr size_t kNameMax = 63;
constexpr int kExitStatus = 2;  // as Go's

struct Sources {
  std::mutex lock;
  std::vector<const QuietSource*> all;  // guarded by lock
};

Sources& TheSources() {
  static Sources* const sources = new Sources;  // never destroyed: runtimes may outlive static
                                                // objects
  return *sources;
}

// What the process does, at one moment.
struct Census {
  uint64_t epochs = 0;
  size_t workers = 0;        // of runtimes that are watched
  size_t known = 0;          // threads that are a runtime's
  size_t known_workers = 0;  // of these, those that run user tasks
  size_t threads = 0;
  int plain_waiters = 0;

  // Nobody is left who could wake a task. A worker of a runtime that has ended, held by its task,
  // could.
  bool certain() const {
    return known_workers == workers && threads == known + static_cast<size_t>(plain_waiters);
  }
  friend bool operator==(const Census&, const Census&) = default;
};

// 0: the system does not tell.
size_t CountThreads() {
  DIR* const directory = opendir("/proc/self/task");
  if (directory == nullptr) return 0;
  size_t threads = 0;
  while (const dirent* entry = readdir(directory)) threads += entry->d_name[0] != '.';
  closedir(directory);
  return threads;
}

// Nothing if any runtime is not quiet.
std::optional<Census> TakeCensus() {
  Census census;
  {
    std::lock_guard lock(TheSources().lock);
    for (const QuietSource* source : TheSources().all) {
      if (!source->IsQuiet()) return std::nullopt;
      census.epochs += source->Epoch();
      census.workers += source->WorkerThreads();
    }
  }
  ForEachKnownThread(
      [](KnownThread& thread, void* arg) {
        auto* const counts = static_cast<Census*>(arg);
        ++counts->known;
        if (thread.kind == ThreadKind::kWorker) ++counts->known_workers;
      },
      &census);
  census.threads = CountThreads();
  census.plain_waiters = PlainWaiters();
  return census;
}

// A runtime task that does something, other than a sysmon.
bool IsBusyServiceTask(const Task& task, TaskState state) {
  // First: one in the making has nothing that may be read.
  if (state != TaskState::kRunnable && state != TaskState::kRunning) return false;
  std::array<char, kNameMax> name;
  return task.runtime_task && CopyTaskName(task, name) != "sysmon";
}

bool WaitsForService(const Task& task) {
  const WaitReason reason = task.wait_reason.load(std::memory_order_relaxed);
  if (reason == WaitReason::kServiceWait) return true;
  return reason == WaitReason::kJoin && task.wait_object != nullptr &&
         static_cast<const Task*>(task.wait_object)->runtime_task;
}

ReportedTask Describe(const Task& task, bool with_tag) {
  ReportedTask reported = {
      .id = task.id,
      .spawner_id = task.spawner_id,
      .spawn_pc = task.spawn_pc,
      .stack_size = task.context.stack().size(),
      .wait = WaitReasonName(task.wait_reason.load(std::memory_order_relaxed))};
  // relaxed: it is parked for good
  if (with_tag) reported.tag = task.tag.load(std::memory_order_relaxed);
  return reported;
}

}  // namespace

void DeadlockWatch::Begin() {
  std::lock_guard lock(TheSources().lock);
  TheSources().all.push_back(&source_);
}

void DeadlockWatch::End() {
  std::lock_guard lock(TheSources().lock);
  std::erase(TheSources().all, &source_);
}

int64_t DeadlockWatch::next_look() const {
  return quiet_since_ != 0 && action_ != DeadlockAction::kNone ? next_look_ : TimerQueue::kNever;
}

void DeadlockWatch::Look(int64_t now) {
  if (action_ == DeadlockAction::kNone) return;
  const bool quiet = source_.IsQuiet();
  const uint64_t epoch = source_.Epoch();
  if (!quiet || epoch != epoch_ || quiet_since_ == 0) {
    if (confirmed_) woken_from_outside_ = true;
    epoch_ = epoch;
    quiet_since_ = quiet ? now : 0;
    confirmed_ = false;
    next_look_ = now + kConfirmNs;
    backoff_ = kFirstBackoffNs;
    return;
  }
  if (now < next_look_) return;
  // To give it its first task is not to wake one.
  confirmed_ = source_.HasTasks() && (woken_from_outside_ || AnyWaits());
  Judge(now);
  next_look_ = now + backoff_;
  const int64_t warn_at = quiet_since_ + warn_after_ns_;
  if (now < warn_at) next_look_ = std::min(next_look_, warn_at);
  backoff_ = std::min(2 * backoff_, kLastBackoffNs);
}

bool DeadlockWatch::AnyWaits() const {
  bool any = false;
  TaskSlab::Instance().ForEach([&](const Task& task) {
    // acquire: see Worker::Prepare()
    if (task.state.load(std::memory_order_acquire) != TaskState::kParked) return;
    const UnstableReads reads;
    any |= task.scheduler == source_.scheduler();
  });
  return any;
}

bool DeadlockWatch::MayReport(bool certain, int64_t now) const {
  if (action_ == DeadlockAction::kFatal || (certain && action_ == DeadlockAction::kDefault))
    return true;
  if (warned_) return false;
  return certain || (!woken_from_outside_ && now - quiet_since_ >= warn_after_ns_);
}

void DeadlockWatch::Judge(int64_t now) {
  const std::optional<Census> before = TakeCensus();
  if (!before) return;
  const bool certain = before->certain();
  if (!MayReport(certain, now)) return;
  const Found count = FindTasks(/*with_tags=*/false, /*most=*/0);
  // The tables cost milliseconds and megabytes: only when there is something to show.
  if (count.total == 0 || count.waits_for_service || !RefreshUnwindTables().ok()) return;
  const Found found = FindTasks(/*with_tags=*/certain, kTasksMax);
  if (found.total == 0 || found.waits_for_service || TakeCensus() != before) return;
  const bool fatal =
      action_ == DeadlockAction::kFatal || (certain && action_ == DeadlockAction::kDefault);
  warned_ = true;
  CurrentReporter().OnDeadlock(
      {.tasks = found.tasks, .tasks_total = found.total, .certain = certain, .fatal = fatal});
  if (!fatal) return;
  std::fflush(stdout);
  TellScheduleSeedAgain();
  _exit(kExitStatus);
}

// The parked tasks. All that a parked task's fields are ordered by is that its worker has gone to
// sleep; where others can still wake it, what is read may change, and is only ever copied.
DeadlockWatch::Found DeadlockWatch::FindTasks(bool with_tags, size_t most) {
  Found found;
  uintptr_t pcs[kFramesMax];
  std::lock_guard lock(TheSources().lock);  // none of the runtimes ends, and takes its stacks along
  const auto is_ours = [](const Task& task) {
    return std::ranges::any_of(TheSources().all, [&](const QuietSource* source) {
      return source->scheduler() == task.scheduler;
    });
  };
  TaskSlab::Instance().ForEach([&](Task& task) {
    // acquire: see Worker::Prepare()
    const TaskState state = task.state.load(std::memory_order_acquire);
    if (IsBusyServiceTask(task, state)) found.waits_for_service = true;
    if (state != TaskState::kParked || task.runtime_task || !is_ours(task)) return;
    if (WaitsForService(task)) found.waits_for_service = true;
    if (++found.total > most) return;
    ReportedTask reported = Describe(task, with_tags);
    std::array<char, kNameMax> name;
    const std::string_view copied = CopyTaskName(task, name);
    found.names.emplace_back(copied.begin(), copied.end());
    const StackBounds bounds = task.context.stack();
    const bool saved = bounds.Contains(reinterpret_cast<uintptr_t>(task.context.hot()));
    const Traceback walk = saved ? WalkStack(task.context.Saved(), bounds, pcs) : Traceback{};
    found.stacks.emplace_back(pcs, pcs + walk.depth);
    reported.stack_cut = walk.end != TracebackEnd::kRoot;
    reported.name = std::string_view(found.names.back().data(), found.names.back().size());
    reported.stack = found.stacks.back();  // neither moves with its vector
    found.tasks.push_back(reported);
  });
  std::ranges::sort(found.tasks, {}, &ReportedTask::id);
  return found;
}

}  // namespace curg::internal
