// SPDX-License-Identifier: Apache-2.0
#include "runtime/slice_probe.h"

#include <errno.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "runtime/current.h"
#include "runtime/signal_action.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"
#include "runtime/unwind_table.h"

namespace curg::internal {
namespace {

constexpr int kSignal = SIGURG;
constexpr uint64_t kMark = uint64_t{0x63757267} << 32;  // in what our signals carry, above the number

// Written once, before the handler is installed.
SignalAction g_previous;

constinit SliceProbe g_probe;

Traceback Walk(const Where& where, const Registers& registers, std::span<uintptr_t> pcs) {
  switch (where.stack) {
    case Where::Stack::kTask:
      return WalkStack(registers, where.bounds, pcs);
    case Where::Stack::kCalled: {
      Traceback called = WalkStack(registers, where.bounds, pcs);
      if (called.end != TracebackEnd::kRoot) return called;
      const Traceback own =
          WalkStack(where.task_registers, where.task_bounds, pcs.subspan(called.depth));
      return {called.depth + own.depth, own.end};
    }
    case Where::Stack::kSystem:
    case Where::Stack::kSwitch:
    case Where::Stack::kOther:
      break;
  }
  return {.depth = 0, .end = TracebackEnd::kBadFrame};
}

void PassOn(int signal, siginfo_t* info, void* context) {
  if (g_previous.IsDefault() || g_previous.IsIgnore()) return;  // the default is to ignore it
  PassSignalOn(g_previous, signal, info, context);
}

}  // namespace

SliceProbe& SliceProbe::Instance() { return g_probe; }

void SliceProbe::OnSignal(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const auto carried = reinterpret_cast<uintptr_t>(info->si_value.sival_ptr);
  if (info->si_code == SI_QUEUE && (carried & ~uint64_t{UINT32_MAX}) == kMark) {
    g_probe.Answer(static_cast<uint32_t>(carried), *static_cast<const ucontext_t*>(context));
  } else {
    PassOn(signal, info, context);
  }
  errno = saved_errno;
}

void SliceProbe::Answer(uint32_t question, const ucontext_t& context) {
  uint64_t asked = Word(question, kAsked);
  // acquire: pairs with the release in Ask(); without it, GiveUp() and a new Ask() might be seen in part
  if (!state_.compare_exchange_strong(asked, Word(question, kWriting), std::memory_order_acquire)) {
    return;
  }
  const Registers registers = RegistersOf(context);
  const Where where = WhereAmI(registers);
  const Task* const task = CurrentTask();
  // relaxed: written by this very thread
  answer_.in_task = task != nullptr && where.stack != Where::Stack::kSwitch &&
                    tick_->load(std::memory_order_relaxed) == expected_tick_;
  if (answer_.in_task) {
    answer_.task_id = task->id;
    answer_.spawner_id = task->spawner_id;
    answer_.spawn_pc = task->spawn_pc;
    answer_.stack_size = task->stack.size;
    answer_.name_size = std::min(task->name.size(), answer_.name.size());
    std::memcpy(answer_.name.data(), task->name.data(), answer_.name_size);
    answer_.tag = where.tag;
    if (where.tag != nullptr) where.tag->Ref();
    answer_.walk = Walk(where, registers, answer_.pcs);
  }
  // release: pairs with the acquire in Poll()
  state_.store(Word(question, kDone), std::memory_order_release);
}

bool SliceProbe::Install() {
  // SIGPROF waits, so that its handler's frames are never between us and the task.
  static const bool installed =
      InstallSignalHandler(kSignal, &OnSignal, uint64_t{1} << (SIGPROF - 1), &g_previous);
  return installed;
}

uint32_t SliceProbe::Ask(pid_t tid, const std::atomic<uint32_t>* tick, uint32_t expected_tick) {
  // acquire: pairs with the releases in Finish() and GiveUp()
  if (own_.exchange(true, std::memory_order_acquire)) return 0;
  if (!Install() || !RefreshUnwindTables().ok()) {
    own_.store(false, std::memory_order_release);
    return 0;
  }
  if (++last_question_ == 0) ++last_question_;
  const uint32_t question = last_question_;
  tick_ = tick;
  expected_tick_ = expected_tick;
  // release: hands the question to Answer()
  state_.store(Word(question, kAsked), std::memory_order_release);
  siginfo_t info = {};
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = reinterpret_cast<void*>(kMark | question);
  if (syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, kSignal, &info) == 0) return question;
  GiveUp(question);
  return 0;
}

const SliceAnswer* SliceProbe::Poll(uint32_t question) const {
  // acquire: pairs with the release in Answer()
  return state_.load(std::memory_order_acquire) == Word(question, kDone) ? &answer_ : nullptr;
}

void SliceProbe::Finish() {
  own_.store(false, std::memory_order_release);  // release: pairs with the acquire in Ask()
}

bool SliceProbe::GiveUp(uint32_t question) {
  uint64_t asked = Word(question, kAsked);
  // relaxed: nothing was written
  if (!state_.compare_exchange_strong(asked, Word(question, kIdle), std::memory_order_relaxed)) {
    return false;
  }
  Finish();
  return true;
}

}  // namespace curg::internal
