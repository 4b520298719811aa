// SPDX-License-Identifier: Apache-2.0
#include "runtime/worker.h"

#include <cxxabi.h>

#include "runtime/check.h"
#include "runtime/park.h"
#include "runtime/scheduler.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

// The thread's exception state. Asked for anew at each use: the compiler may not keep the address
// across a switch, and never inlined for the same reason.
__attribute__((noinline)) ExceptionState& ThisThreadsExceptions() {
  asm volatile("" ::: "memory");
  return *reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
}

// A detached task whose value nobody will take destroys it on its own stack, where destructors may
// park; so it looks before it ends, and looks once more after it has left, since the handle may be
// dropped in between.
bool HasLeftovers(const Task& task) { return task.body.drop != nullptr || task.body.exception; }

bool CommitEnd(void* arg) {
  Task* const task = static_cast<Task*>(arg);
  uintptr_t end = task->end.load(std::memory_order_acquire);
  if (HasLeftovers(*task)) {
    do {
      if (end == Task::kDetached) return false;
      // From here on the handle can neither join nor detach until FinishTask says kDone.
    } while (!task->end.compare_exchange_weak(end, Task::kEnding, std::memory_order_acq_rel));
  }
  Worker& worker = *CurrentWorker();
  Waiter* const joiner = end > Task::kEnding && task->end.load(std::memory_order_relaxed) == Task::kEnding
                             ? reinterpret_cast<Waiter*>(end)
                             : nullptr;
  worker.scheduler.FinishTask(worker, task);
  if (joiner != nullptr) joiner->Wake();
  return true;
}

// Returns the worker to leave to.
__attribute__((noinline)) Worker& PrepareToLeave(Task& task) {
  Worker& worker = *CurrentWorker();
  worker.after_switch = {.commit = &CommitEnd, .arg = &task};
  return worker;
}

CURG_NO_TSAN void Leave(Task& task) {
  Worker& worker = PrepareToLeave(task);
  Context::Switch(task.context, worker.system, /*last=*/!HasLeftovers(task));
}

__attribute__((noinline)) void RunBody(Task& task) {
  task.body.run(task.body);
  // acquire: pairs with the release in JoinHandle's detach
  if (task.end.load(std::memory_order_acquire) == Task::kDetached) task.body.Drop();
}

// What every task runs on its stack, from its first instruction to its last.
CURG_NO_TSAN void TaskMain() {
  Task& task = *CurrentTask();
  RunBody(task);
  Leave(task);
  task.body.Drop();  // detached meanwhile
  Leave(task);
}

// A stack's hot end is moved by up to 2 KiB from slot to slot: slots begin at pages, and without that
// the hot ends of all stacks would share a few sets of the first-level cache. One page still holds it.
uintptr_t Colour(const StackSlot& slot) {
  const uintptr_t page = reinterpret_cast<uintptr_t>(slot.base) >> 12;
  return page % 16 * 128;
}

}  // namespace

void Worker::Resume(Task* task) {
  task->state.store(TaskState::kRunning, std::memory_order_relaxed);  // relaxed: a hint
  ExceptionState& exceptions = ThisThreadsExceptions();  // this side of the switch never migrates
  ThreadState& thread = ThisThread();
  exceptions = task->exceptions;
  thread.current.store(task, std::memory_order_relaxed);  // relaxed: see ThreadState
  std::atomic_signal_fence(std::memory_order_seq_cst);    // a handler sees the task before its stack
  in_task.store(true, std::memory_order_relaxed);
  Context::Switch(system, task->context);
  in_task.store(false, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // and its stack is left before the task is
  thread.current.store(nullptr, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // which is before anybody else may have it
  task->exceptions = exceptions;
  exceptions = {};
}

void Worker::Execute(Task* task) {
  if (task->context.stack().empty()) {
    scheduler.BindStack(*processor, task);
    task->context.Start(task->stack.usable(), Colour(task->stack), &TaskMain);
  }
  do {
    Resume(task);
  } while (!after_switch.commit(after_switch.arg));
}

void Worker::Run() {
  ScopedKnownThread known(kind);
  ThisThread().worker.store(this, std::memory_order_relaxed);  // relaxed: see ThreadState
  system.AdoptThread(known.thread().system_stack);
  while (Task* task = scheduler.FindRunnable(*this)) Execute(task);
  ThisThread().worker.store(nullptr, std::memory_order_relaxed);
}

}  // namespace curg::internal
