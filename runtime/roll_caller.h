// SPDX-License-Identifier: Apache-2.0
//
// RollCaller: calls the roll (roll_call.h), and shows all tasks that were alive at the
// announcement, each once.
//
//   1  announce
//   2  ask the threads that execute a task, by signal (slice_probe.h)
//   3  walk the slabs: suspended tasks are read from their saved contexts
//   4  until each is settled: what answered meanwhile, suspended itself, ended, or does not answer
//
// Never waits for a lock that tasks hold, nor for a task: what cannot be reached within a bounded
// time is shown as kUnreached. Not for signal handlers.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "runtime/roll_call.h"
#include "runtime/slice_probe.h"
#include "runtime/task_sighting.h"
#include "runtime/walk_memo.h"

namespace curg::internal {

struct RollCallerOptions {
  bool runtime_tasks = false;           // also the runtime's own
  size_t depth_max = 128;               // frames of a stack, at most 128
  int64_t patience_ns = 2'000'000'000;  // with running tasks that do not answer
  // Called about once a millisecond, so that a task may let others go first. Tasks do not wait for
  // it.
  void (*pause)() = nullptr;
};

// One call. Owner only: one task or thread; it must not hold locks of user code.
class RollCaller {
 public:
  using Visit = absl::FunctionRef<void(const TaskSighting&)>;

  explicit RollCaller(const RollCallerOptions& options)
      : options_(options), walks_(options.depth_max, kWalksMax) {}
  RollCaller(const RollCaller&) = delete;
  RollCaller& operator=(const RollCaller&) = delete;

  // Shows each task to `visit`, on this thread. Tags, names and stacks are valid until visit
  // returns, tags until Call does. One call at a time in the process: others wait here.
  // Blocks: the thread; 0.3 us a task parked in one of a few stacks.
  void Call(Visit visit);

  // Tasks that may have been alive but left no record, for want of memory.
  uint64_t lost() const { return lost_; }

 private:
  static constexpr size_t kDepthMax = 128;
  static constexpr size_t kNameMax = 255;
  static constexpr size_t kWalksMax = 4096;  // remembered, of some hundred bytes each
  static constexpr size_t kAhead = 8;        // records fetched before their stacks, stacks
                                             // before they are read
  static constexpr size_t kTasksAPause = 1024;
  static constexpr int64_t kBusyPatienceNs = 50'000'000;  // of CPU time of a thread that does not
                                                          // answer

  struct Asked {
    SliceProbe* probe = nullptr;
    uint32_t question = 0;  // 0: none
    pid_t tid = 0;
    const Task* task = nullptr;  // that it ran when it was asked
    int64_t cpu_ns = 0;          // the thread's then
  };
  struct RunningThread {
    pid_t tid;
    Task* task;
  };

  void ShowOwnTask(Visit visit);
  void WalkSlabs(Visit visit);
  void Fetch(const Task& task) const;
  bool IsLeftOut(const Task& task) const;
  // False: it is neither settled nor suspended, and has to be looked at again.
  bool Look(Task& task, Visit visit);
  bool ReadSuspended(Task& task, Visit visit);
  void SettleRest(Visit visit);
  std::vector<RunningThread> RunningThreads() const;
  static bool IsInBlocking(const Task& task);
  void AskRunning(Visit visit);
  void Ask(const RunningThread& thread);
  bool ReadSleeper(const RunningThread& thread, Visit visit);
  bool IsSilent(const Asked& asked) const;
  void TakeSignalled(Visit visit);
  void TakeAnswers(Visit visit);
  void ShowUnreached(Task& task, Visit visit);
  bool TakeAnswer(Asked& asked, Visit visit);
  void EndQuestions(Visit visit);

  const RollCallerOptions options_;
  uint32_t epoch_ = 0;
  uint64_t lost_ = 0;
  std::vector<Task*> rest_;          // looked at, and not settled
  std::vector<const Task*> silent_;  // whose threads do not answer
  std::vector<const Tag*> tags_;     // of those asked by signal, with a reference each
  std::array<Asked, SliceProbe::kProbes> asked_ = {};
  std::array<uintptr_t, kDepthMax> pcs_;
  std::array<char, kNameMax> name_;
  WalkMemo walks_;
};

}  // namespace curg::internal
