// SPDX-License-Identifier: Apache-2.0
#include "runtime/roll_caller.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>

#include "runtime/context.h"
#include "runtime/monotonic_clock.h"
#include "runtime/other_thread.h"
#include "runtime/task_name.h"
#include "runtime/task_slab.h"
#include "runtime/thread_registry.h"
#include "runtime/thread_state.h"
#include "runtime/unstable_reads.h"
#include "runtime/unwind_table.h"

namespace curg::internal {
namespace {

bool IsAlive(TaskState state) {
  return state != TaskState::kFree && state != TaskState::kNew && state != TaskState::kEnded;
}

void ShortSleep() {
  const timespec moment = {.tv_sec = 0, .tv_nsec = 50'000};
  nanosleep(&moment, nullptr);
}

// What the object waited for tells: a joined task's record is there for as long as the task waits.
void ReadWaitObject(TaskSighting* seen) {
  if (seen->wait_object == nullptr) return;
  if (seen->wait_reason == WaitReason::kJoin) {
    seen->wait_task = static_cast<const Task*>(seen->wait_object)->id;
  } else if (seen->wait_reason == WaitReason::kSleep) {
    seen->due = SleepEnd(std::exchange(seen->wait_object, nullptr));
  }
}

// Registers that lie on a stack. False: they do not.
bool ReadRegisters(const Registers* from, const StackBounds& stack, Registers* to) {
  const auto at = reinterpret_cast<uintptr_t>(from);
  if (!stack.Contains(at) || stack.high - at < sizeof(Registers) || at % alignof(Registers) != 0)
    return false;
  *to = *from;
  to->interrupted = nullptr;
  return true;
}

void ShowWalk(const WalkMemo::Walk& walk, TaskSighting* seen) {
  seen->stack = walk.pcs;
  seen->stack_end = walk.end;
  seen->note = walk.note;
}

}  // namespace

void RollCaller::Call(Visit visit) {
  (void)RefreshUnwindTables();  // without memory for tables walks are slow
  std::lock_guard lock(RollCall::StacksLock());
  const uint64_t lost_before = RollCall::lost();
  epoch_ = RollCall::Open();
  ShowOwnTask(visit);
  AskRunning(visit);
  WalkSlabs(visit);
  SettleRest(visit);
  EndQuestions(visit);
  RollCall::Close();
  TakeAnswers(visit);
  RollCall::Unpin();
  for (const Tag* tag : tags_) tag->Unref();
  lost_ = RollCall::lost() - lost_before;
}

// Nobody could ask the task that calls the roll.
void RollCaller::ShowOwnTask(Visit visit) {
  Task* const task = CurrentTask();
  if (task == nullptr || (task->runtime_task && !options_.runtime_tasks)) return;
  if (!RollCall::Claim(*task, epoch_)) return;
  TaskSighting seen = TaskSighting::Of(*task, SightingKind::kRunning);
  seen.tag = task->tag.load(std::memory_order_relaxed);  // relaxed: our own
  seen.name = task->name();
  const Traceback walk =
      WalkStack(RegistersHere(), task->context.stack(), std::span(pcs_).first(options_.depth_max));
  seen.stack = {pcs_.data(), walk.depth};
  seen.stack_end = walk.end;
  visit(seen);
}

// Records come in the order of their addresses, which is nearly that of the memory's pages; their
// stacks are anywhere, and cold. So what is needed of a task is asked of the memory while those
// before it are read.
void RollCaller::WalkSlabs(Visit visit) {
  std::array<Task*, 2 * kAhead> ring = {};
  size_t at = 0;
  const auto advance = [&](Task* newest) {
    Task*& slot = ring[at % ring.size()];
    Task* const oldest = slot;
    slot = newest;
    if (newest != nullptr) {
      __builtin_prefetch(newest);
      __builtin_prefetch(reinterpret_cast<const char*>(newest) + 64, 1);
    }
    if (const Task* const middle = ring[(at + kAhead) % ring.size()]) Fetch(*middle);
    ++at;
    if (oldest != nullptr && !Look(*oldest, visit)) rest_.push_back(oldest);
    if (at % kTasksAPause != 0) return;
    TakeAnswers(visit);
    if (options_.pause != nullptr) options_.pause();
  };
  TaskSlab::Instance().ForEach([&](Task& task) { advance(&task); });
  for (size_t i = 0; i < ring.size(); ++i) advance(nullptr);
}

// A stack's lines from its pointer upwards: registers, then the inner frames.
void RollCaller::Fetch(const Task& task) const {
  constexpr size_t kLine = 64;
  constexpr size_t kSavedBytes = 128;  // what a switch saves, and something
  constexpr size_t kBytesMax = 16 * kLine;
  const char* const top = static_cast<const char*>(task.context.hot());
  if (top == nullptr) return;
  const size_t bytes = std::min(walks_.reach() + kSavedBytes, kBytesMax);
  for (size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(top + at);
}

// A hint: the record may be about to become another task's.
bool RollCaller::IsLeftOut(const Task& task) const {
  const UnstableReads reads;
  return task.runtime_task && !options_.runtime_tasks;
}

bool RollCaller::Look(Task& task, Visit visit) {
  if (RollCall::HasAnswered(task, epoch_)) return true;
  // acquire: pairs with the releases of states
  const TaskState state = task.state.load(std::memory_order_acquire);
  if (!IsAlive(state) || IsLeftOut(task)) return true;
  return state != TaskState::kRunning && ReadSuspended(task, visit);
}

// Reads, then claims: what was read counts only if nobody resumed the task before the claim.
bool RollCaller::ReadSuspended(Task& task, Visit visit) {
  TaskSighting seen;
  const Tag* tag;
  {
    const UnstableReads reads;
    seen = TaskSighting::Of(task, SightingKind::kSuspended);
    tag = task.tag.load(std::memory_order_acquire);  // acquire: pairs with ExchangeCurrentTag()
    Registers registers;
    StackBounds stack;
    if (task.context.TrySaved(&registers, &stack)) {
      ShowWalk(walks_.Of(registers, stack), &seen);
      ReadWaitObject(&seen);
    } else if (seen.state == TaskState::kBlocking) {
      seen.kind = SightingKind::kBlocking;
      stack = task.context.stack();
      if (Registers at; ReadRegisters(task.blocking_at, stack, &at))
        ShowWalk(walks_.Of(at, stack), &seen);
    } else if (seen.state == TaskState::kDelayed ||
               (seen.state == TaskState::kRunnable && !task.HasBegun())) {
      seen.kind = SightingKind::kNotStarted;
      pcs_[0] = reinterpret_cast<uintptr_t>(task.body.step);
      seen.stack = {pcs_.data(), 1};
    } else {
      return false;  // on its way from or to a worker
    }
    seen.name = CopyTaskName(task, name_);
  }
  if (!IsAlive(seen.state)) return false;
  if (!RollCall::ClaimByCaller(task, epoch_)) return true;
  seen.tag = tag;
  visit(seen);
  return true;
}

void RollCaller::SettleRest(Visit visit) {
  const int64_t deadline = MonotonicNow() + options_.patience_ns;
  while (true) {
    TakeSignalled(visit);
    std::erase_if(rest_, [&](Task* task) { return Look(*task, visit); });
    if (rest_.empty()) return;
    AskRunning(visit);
    const bool late = MonotonicNow() >= deadline;
    std::erase_if(rest_, [&](Task* task) {
      const bool silent = late || std::ranges::find(silent_, task) != silent_.end();
      if (silent) ShowUnreached(*task, visit);
      return silent;
    });
    if (rest_.empty()) return;
    TakeAnswers(visit);
    ShortSleep();
  }
}

void RollCaller::ShowUnreached(Task& task, Visit visit) {
  TaskSighting seen;
  {
    const UnstableReads reads;
    seen = TaskSighting::Of(task, SightingKind::kUnreached);
    seen.tag = task.tag.load(std::memory_order_acquire);  // acquire: pairs with
                                                          // ExchangeCurrentTag()
    seen.name = CopyTaskName(task, name_);
  }
  if (!IsAlive(seen.state) || !RollCall::ClaimByCaller(task, epoch_)) return;
  seen.state = TaskState::kRunning;
  visit(seen);
}

std::vector<RollCaller::RunningThread> RollCaller::RunningThreads() const {
  std::vector<RunningThread> running;
  ForEachKnownThread(
      [](KnownThread& thread, void* arg) {
        // relaxed: a hint
        Task* const task = thread.state->current.load(std::memory_order_relaxed);
        if (task != nullptr)
          static_cast<std::vector<RunningThread>*>(arg)->push_back({thread.tid, task});
      },
      &running);
  const UnstableReads reads;  // a record may be new to this thread
  std::erase_if(running, [&](const RunningThread& thread) {
    return thread.tid == gettid() || RollCall::HasAnswered(*thread.task, epoch_) ||
           IsLeftOut(*thread.task);
  });
  return running;
}

// After the announcement: one that comes to Blocking later keeps the signal away
// (RollCall::MaySignal).
bool RollCaller::IsInBlocking(const Task& task) {
  const UnstableReads reads;  // a record may be new to this thread
  return task.state.load(std::memory_order_seq_cst) == TaskState::kBlocking;  // seq_cst: see above
}

// Only threads that execute are asked: a signal would make the system call of one that sleeps fail.
void RollCaller::AskRunning(Visit visit) {
  for (const RunningThread& thread : RunningThreads()) {
    const bool pending = std::ranges::any_of(
        asked_, [&](const Asked& asked) { return asked.question != 0 && asked.tid == thread.tid; });
    if (pending || IsInBlocking(*thread.task)) continue;
    if (!ThreadSleeps(thread.tid)) {
      Ask(thread);
    } else if (ReadSleeper(thread, visit)) {
      std::erase(rest_, thread.task);
    }
  }
}

void RollCaller::Ask(const RunningThread& thread) {
  for (size_t i = 1; i < asked_.size(); ++i) {
    if (asked_[i].question != 0) continue;
    SliceProbe& probe = SliceProbe::At(i);
    asked_[i] = {.probe = &probe,
                 .question = probe.AskForRoll(thread.tid, epoch_),
                 .tid = thread.tid,
                 .task = thread.task,
                 .cpu_ns = ThreadCpuNs(thread.tid).value_or(0)};
    return;
  }
}

// A task whose thread sleeps in a system call: from outside, as far as two registers lead. It
// counts if the thread is in the same place afterwards.
bool RollCaller::ReadSleeper(const RunningThread& thread, Visit visit) {
  Task& task = *thread.task;
  const auto registers = RegistersOfSleeper(thread.tid);
  if (!registers) return false;
  TaskSighting seen;
  {
    const UnstableReads reads;
    const StackBounds stack = task.context.stack();
    if (!stack.Contains(registers->sp) ||
        task.state.load(std::memory_order_acquire) != TaskState::kRunning)
      return false;
    const Traceback walk = WalkStack(*registers, stack, std::span(pcs_).first(options_.depth_max));
    seen = TaskSighting::Of(task, SightingKind::kInSystemCall);
    seen.tag = task.tag.load(std::memory_order_acquire);  // acquire: pairs with
                                                          // ExchangeCurrentTag()
    seen.stack = {pcs_.data(), walk.depth};
    seen.stack_end = walk.end;
    seen.name = CopyTaskName(task, name_);
  }
  const auto again = RegistersOfSleeper(thread.tid);
  if (!again || again->sp != registers->sp || again->pc != registers->pc) return false;
  if (!RollCall::ClaimByCaller(task, epoch_)) return true;
  visit(seen);
  return true;
}

void RollCaller::TakeSignalled(Visit visit) {
  for (Asked& asked : asked_) {
    if (asked.question == 0 || TakeAnswer(asked, visit)) continue;
    if (IsSilent(asked) && asked.probe->GiveUp(asked.question)) {
      asked.question = 0;
      silent_.push_back(asked.task);
    }
  }
}

bool RollCaller::TakeAnswer(Asked& asked, Visit visit) {
  const SliceAnswer* const answer = asked.probe->Poll(asked.question);
  if (answer == nullptr) return false;
  if (answer->in_task) {
    if (const Tag* const tag = answer->seen.tag) {
      tag->ShowAcquire();
      tags_.push_back(tag);
    }
    visit(answer->seen);
  }
  asked.probe->Finish();
  asked.question = 0;
  return true;
}

// It blocks the signal, say. A thread that waits for a CPU, or a lock in the kernel, is waited for.
bool RollCaller::IsSilent(const Asked& asked) const {
  return ThreadCpuNs(asked.tid).value_or(0) - asked.cpu_ns >= kBusyPatienceNs;
}

void RollCaller::TakeAnswers(Visit visit) {
  RollAnswer* const answers = RollCall::TakeAnswers();
  for (const RollAnswer* answer = answers; answer != nullptr; answer = answer->next) {
    if (answer->seen.runtime_task && !options_.runtime_tasks) continue;
    if (const Tag* const tag = answer->seen.tag) {
      tag->Ref();
      tags_.push_back(tag);
    }
    visit(answer->seen);
  }
  RollCall::FreeAnswers(answers);
}

// A task may have answered since the last look, and be settled for that.
void RollCaller::EndQuestions(Visit visit) {
  for (Asked& asked : asked_) {
    while (asked.question != 0 && !TakeAnswer(asked, visit)) {
      if (asked.probe->GiveUp(asked.question)) {
        asked.question = 0;
      } else {
        sched_yield();
      }
    }
  }
}

}  // namespace curg::internal
