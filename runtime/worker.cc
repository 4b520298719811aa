// SPDX-License-Identifier: Apache-2.0
#include "runtime/worker.h"

#include <cxxabi.h>

#include <utility>

#include "runtime/cpu_meter.h"
#include "runtime/fork_guard.h"
#include "runtime/park.h"
#include "runtime/roll_call.h"
#include "runtime/scheduler.h"
#include "runtime/switch_away.h"
#include "runtime/task_locals.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

// A detached task whose value nobody will take destroys it on its own stack, where destructors may
// park; so it looks before it ends, and looks once more after it has left, since the handle may be
// dropped in between.
bool HasLeftovers(const Task& task) { return task.body.step != nullptr; }

bool CommitEnd(void* arg) {
  Task* const task = static_cast<Task*>(arg);
  uintptr_t joiner = 0;
  if (HasLeftovers(*task) && !task->end.Begin(&joiner)) return false;
  Worker& worker = *CurrentWorker();
  RollCall::BeforeEnd(*task);
  worker.scheduler.FinishTask(worker, task, joiner);
  return true;
}

// As CommitEnd, on the stack of the one who joins it.
bool CommitEndForJoiner(void* arg) {
  Task* const task = static_cast<Task*>(arg);
  RollCall::BeforeEnd(*task);
  CurrentWorker()->scheduler.FinishJoinedTask(*CurrentWorker(), task);
  return true;
}

__attribute__((noinline)) void RunBody(Task& task) {
  task.body.Run();
  if (task.end.IsDetached()) task.body.Drop();
  EndTaskLocals(task);
}

// Detached while it left its stack: back on it, and leaves it again.
__attribute__((noinline)) void DropResult(Worker& worker, Task& task) {
  worker.FinishSwitch();
  task.body.Drop();
  EndTaskLocals(task);  // its destructor may have used some again
}

CURG_NO_TSAN void EndAgain(void* word) {
  Worker& worker = *static_cast<Worker*>(word);
  Task& task = *worker.current();
  DropResult(worker, task);
  return Worker::EndTask(task);
}

// What every task runs on its stack, from its first instruction to its last.
CURG_NO_TSAN void TaskMain(void* word) {
  Worker& worker = *static_cast<Worker*>(word);
  Task& task = *worker.current();
  worker.FinishSwitch();
  RunBody(task);
  return Worker::EndTask(task);  // a jump: see Context::Leave
}

// A stack's hot end is moved by up to 2 KiB from slot to slot: slots begin at pages, and without
// that the hot ends of all stacks would share a few sets of the first-level cache. One page still
// holds it.
uintptr_t Colour(const StackBounds& stack) { return (stack.low >> 12) % 16 * 128; }

}  // namespace

// Gives the new `task` a stack, on which it will run TaskMain.
void Worker::Begin(Task& task) {
  scheduler.BindStack(*processor, &task);
  const StackBounds stack = task.context.stack();
  task.context.Start<&TaskMain>(stack, Colour(stack));
  // release: shows SliceWatch the stack
  task.state.store(TaskState::kRunning, std::memory_order_release);
}

CURG_NO_TSAN void Worker::LeaveWithoutProcessor(Task& task, bool (*commit)(void* arg), void* arg) {
  SwitchTo(/*next=*/nullptr, task, commit, arg);
}

[[gnu::flatten]] CURG_NO_TSAN void Worker::EndTask(Task& task) {
  if (InForkedChild()) [[unlikely]]
    FatalInForkedChild("returns from a task");
  Worker& worker = *CurrentWorker();
  Scheduler& scheduler = worker.scheduler;
  bool joined;
  Task* const next = scheduler.PickNextOrJoiner(worker, task, &joined);
  worker.after_switch = {
      .commit = joined ? &CommitEndForJoiner : &CommitEnd, .arg = &task, .task = &task};
  Context& to = worker.LeaveFor(task, next);
  return Context::Leave(task.context, to, &worker, joined || !HasLeftovers(task), &EndAgain);
}

namespace {

struct SystemCall {
  void (*call)(void* arg);
  void* arg;
  Worker* worker;
  Task* task;
};

// Before and after, a handler takes the system stack for a switch that goes on (WhereAmI).
__attribute__((noinline)) void RunSystemCall(const SystemCall& call) {
  ThreadState& thread = *call.worker->thread;
  thread.called.store(&call.worker->called, std::memory_order_relaxed);  // relaxed: see ThreadState
  std::atomic_signal_fence(std::memory_order_seq_cst);
  call.call(call.arg);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.called.store(nullptr, std::memory_order_relaxed);
}

CURG_NO_TSAN void SystemCallMain(void* word) {
  const SystemCall& call = *static_cast<SystemCall*>(word);
  RunSystemCall(call);
  Context::Switch(call.worker->called, call.task->context, nullptr, /*last=*/true);
}

}  // namespace

CURG_NO_TSAN void Worker::CallOnSystemStack(Task& task, void (*call)(void* arg), void* arg) {
  // What the scheduler's loop keeps below its stack pointer, and some more, is left alone.
  constexpr uintptr_t kGap = 512;
  const uintptr_t used_from = reinterpret_cast<uintptr_t>(system.hot());
  called.Start<&SystemCallMain>({system.stack().low, (used_from - kGap) & ~uintptr_t{63}},
                                /*colour=*/0);
  SystemCall message = {.call = call, .arg = arg, .worker = this, .task = &task};
  Context::Switch(task.context, called, &message);
  called.Finish();
}

// On the system stack; comes back when a task found nobody to hand over to.
void Worker::Execute(Task* task) {
  Prepare(*task, !task->HasBegun());
  *exceptions = task->exceptions;
  thread->current.store(task, std::memory_order_relaxed);  // relaxed: see ThreadState
  std::atomic_signal_fence(std::memory_order_seq_cst);
  in_task.store(true, std::memory_order_relaxed);
  if (CpuMeter::On()) [[unlikely]]
    thread->meter->Enter(*task);
  Context::Switch(system, task->context, this);
  in_task.store(false, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread->current.store(nullptr, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // before anybody else may have the task
  FinishSwitch();
}

void Worker::Run() {
  ScopedKnownThread known(kind);
  thread = &ThisThread();
  thread->self = this;
  SetThreadClock(scheduler.virtual_clock());
  if (scheduler.schedule_seed() != 0) thread->random = scheduler.schedule_seed();
  thread->worker.store(this, std::memory_order_relaxed);  // relaxed: see ThreadState
  CpuMeter meter;
  thread->meter = &meter;
  thread_state.store(thread, std::memory_order_release);  // release: pairs with SliceWatch
  tid.store(known.thread().tid, std::memory_order_relaxed);
  system.AdoptThread(known.thread().system_stack);
  exceptions = reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
  const auto next = [this] {
    return cold != nullptr ? std::exchange(cold, nullptr) : scheduler.FindRunnable(*this);
  };
  while (Task* task = next()) Execute(task);
  thread->meter = nullptr;
  thread->worker.store(nullptr, std::memory_order_relaxed);
  thread->self = nullptr;
  tid.store(0, std::memory_order_relaxed);
  thread_state.store(nullptr, std::memory_order_relaxed);
}

}  // namespace curg::internal
