// SPDX-License-Identifier: Apache-2.0
#include "runtime/blocking.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <atomic>
#include <cerrno>

#include "runtime/coarse_clock.h"
#include "runtime/roll_call.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"
#include "runtime/timers.h"
#include "runtime/worker.h"

namespace curg::internal {
namespace {

// Never inlined: the thread may be another one by now.
__attribute__((noinline)) void SetErrno(int value) { errno = value; }

// While somebody may be about to ask threads by signal: one that was chosen before it got here must
// not have its system calls interrupted for it. The signal waits until the call's end.
void HoldSignals(Worker& worker) {
  sigset_t probe;
  sigset_t before;
  sigemptyset(&probe);
  sigaddset(&probe, SIGURG);
  pthread_sigmask(SIG_BLOCK, &probe, &before);
  worker.holds_signals = sigismember(&before, SIGURG) == 0;
}

void ReleaseSignals(Worker& worker) {
  sigset_t probe;
  sigemptyset(&probe);
  sigaddset(&probe, SIGURG);
  worker.holds_signals = false;
  pthread_sigmask(SIG_UNBLOCK, &probe, nullptr);
}

}  // namespace

bool EnterBlocking(const Registers& at, const WaitLimits* limits, WaitStatus* status) {
  if (limits != nullptr && (*status = limits->Reached()) != WaitStatus::kOk) return false;
  Worker* worker = CurrentWorker();
  if (worker == nullptr || worker->kind == ThreadKind::kService) return false;
  Task* const task = worker->current();
  if (task == nullptr || worker->thread->called.load(std::memory_order_relaxed) != nullptr)
    return false;
  if (!worker->scheduler.TakeBlockingSlot()) [[unlikely]] {
    *status = worker->scheduler.AwaitBlockingSlot(limits != nullptr ? *limits : WaitLimits{});
    if (*status != WaitStatus::kOk) return false;
    worker = CurrentWorker();
  }
  task->blocking_at = &at;
  task->since = CoarseClock::Now();
  // release: what is above is seen by a dump that sees this
  task->state.store(TaskState::kBlocking, std::memory_order_release);
  worker->scheduler.EnterBlocking(*worker, at.pc);  // with a full fence
  if (RollCall::MaySignal()) [[unlikely]]
    HoldSignals(*worker);
  return true;
}

void LeaveBlocking() {
  const int saved_errno = errno;
  ThreadState& thread = ThisThread();
  Task& task = *thread.current.load(std::memory_order_relaxed);  // relaxed: see ThreadState
  Worker& worker = *thread.self;
  if (worker.holds_signals) [[unlikely]]
    ReleaseSignals(worker);
  task.since = CoarseClock::Now();
  task.state.store(TaskState::kRunning, std::memory_order_release);  // release: pairs with
                                                                     // RollCaller
  RollCall::BeforeLeavingBlocking(task);
  worker.scheduler.LeaveBlocking(worker, task, task.blocking_at->pc);
  SetErrno(saved_errno);
}

// On a timer, and as a callback of the caller's token: either may come at any time.
struct StopAtLimits::State : Timer {
  struct Forward {
    State* state;
    void operator()() const noexcept { state->source.request_stop(); }
  };

  static void Fire(Timer* timer) {
    auto* const self = static_cast<State*>(timer);
    self->source.request_stop();
    self->fired.store(true, std::memory_order_release);  // release: pairs with the destructor
  }

  explicit State(const WaitLimits& limits) {
    if (limits.stop != nullptr && limits.stop->stop_possible())
      on_stop.emplace(*limits.stop, Forward{this});
    if (limits.deadline.is_never()) return;
    armed = true;
    fire = &Fire;
    when = limits.deadline.nanoseconds();
    const Task* const task = CurrentTask();
    (task != nullptr ? *task->scheduler : Scheduler::Service()).AddTimer(this);
  }
  ~State() {
    if (!armed || TimerQueue::Cancel(this)) return;
    // It is being fired: a few instructions, and those of the callbacks.
    while (!fired.load(std::memory_order_acquire)) sched_yield();  // acquire: pairs with Fire()
  }

  std::stop_source source;
  std::optional<std::stop_callback<Forward>> on_stop;
  bool armed = false;
  std::atomic<bool> fired{false};
};

StopAtLimits::StopAtLimits(const WaitLimits& limits) : state_(std::make_unique<State>(limits)) {}
StopAtLimits::~StopAtLimits() = default;
std::stop_token StopAtLimits::token() const { return state_->source.get_token(); }

}  // namespace curg::internal
