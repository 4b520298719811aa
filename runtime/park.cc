// SPDX-License-Identifier: Apache-2.0
#include "runtime/park.h"

#include <cstdio>
#include <cstdlib>

#include "runtime/check.h"
#include "runtime/coarse_clock.h"
#include "runtime/fork_guard.h"
#include "runtime/futex.h"
#include "runtime/scheduler.h"
#include "runtime/switch_away.h"
#include "runtime/task.h"
#include "runtime/worker.h"

namespace curg::internal {
namespace {

std::atomic<int> g_plain_waiters{0};

[[noreturn, gnu::noinline]] void WaitsOnSystemStack(const Task& task) {
  std::fprintf(stderr,
               "curg: task %llu \"%.*s\" waits for something inside OnSystemStack, where it cannot "
               "be suspended; "
               "wait outside, or call OnSystemStack inside Blocking\n",
               static_cast<unsigned long long>(task.id), static_cast<int>(task.name().size()),
               task.name().data());
  std::abort();
}

}  // namespace

// seq_cst, both: between the waker's work and its going to sleep, see DeadlockWatch
int PlainWaiters() { return g_plain_waiters.load(std::memory_order_seq_cst); }
void AddPlainWaiters(int count) { g_plain_waiters.fetch_add(count, std::memory_order_seq_cst); }

[[gnu::flatten]] CURG_NO_TSAN void Park(WaitReason reason, const void* object,
                                        bool (*commit)(void* arg), void* arg) {
  Worker* const worker = CurrentWorker();
  Task* const task = worker != nullptr ? worker->current() : nullptr;
  if (worker != nullptr && worker->thread->called.load(std::memory_order_relaxed) != nullptr)
      [[unlikely]]
    WaitsOnSystemStack(*task);
  CURG_CHECK(task != nullptr, "park on a task; a plain thread waits through Waiter");
  task->wait_reason.store(reason, std::memory_order_relaxed);  // published by `state`
  task->wait_object = object;
  task->since = CoarseClock::Now();
  task->state.store(TaskState::kParked, std::memory_order_release);  // release: pairs with RollCall
  worker->processor->counters.parks.Add();
  worker->SwitchAway(*task, commit, arg);
}

void Unpark(Task* task) { task->scheduler->Ready(task); }

void Waiter::WaitThread(bool (*commit)(void* arg), void* arg) {
  if (InForkedChild()) [[unlikely]]
    FatalInForkedChild("waits for another thread or task");
  AddPlainWaiters(1);
  if (!commit(arg)) return AddPlainWaiters(-1);
  // acquire: pairs with the release in WakeThread()
  while (woken_.load(std::memory_order_acquire) == 0) FutexWait(woken_, 0);
}

void Waiter::WakeThread() {
  AddPlainWaiters(-1);
  woken_.store(1, std::memory_order_release);  // release: pairs with the acquire loads above
  FutexWake(woken_);
}

}  // namespace curg::internal
