// SPDX-License-Identifier: Apache-2.0
#include "runtime/slice_probe.h"

#include <errno.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>

#include "runtime/current.h"
#include "runtime/roll_call.h"
#include "runtime/signal_action.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

constexpr int kSignal = SIGURG;
// What our signals carry: a mark, the probe's index and the number of the question.
constexpr uint64_t kMark = uint64_t{0x637572} << 40;
constexpr int kIndexShift = 32;
constexpr uint64_t kIndexMask = 0xff;

// Written once, before the handler is installed.
SignalAction g_previous;

constinit std::array<SliceProbe, SliceProbe::kProbes> g_probes;

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

SliceProbe& SliceProbe::At(size_t index) { return g_probes[index]; }

void SliceProbe::OnSignal(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const auto carried = reinterpret_cast<uintptr_t>(info->si_value.sival_ptr);
  const size_t index = carried >> kIndexShift & kIndexMask;
  if (info->si_code == SI_QUEUE && carried >> 40 << 40 == kMark && index < kProbes) {
    At(index).Answer(static_cast<uint32_t>(carried), *static_cast<const ucontext_t*>(context));
  } else {
    PassOn(signal, info, context);
  }
  errno = saved_errno;
}

void SliceProbe::Answer(uint32_t question, const ucontext_t& context) {
  uint64_t asked = Word(question, kAsked);
  // acquire: pairs with the release in Ask(); without it, GiveUp() and a new Ask() might be seen in
  // part
  if (!state_.compare_exchange_strong(asked, Word(question, kWriting), std::memory_order_acquire)) {
    return;
  }
  const Registers registers = RegistersOf(context);
  const Where where = WhereAmI(registers);
  Task* const task = CurrentTask();
  answer_.in_task = task != nullptr && where.stack != Where::Stack::kSwitch && IsAbout(*task);
  if (answer_.in_task) {
    answer_.seen = TaskSighting::Of(*task, SightingKind::kRunning);
    answer_.seen.state = TaskState::kRunning;
    const std::string_view name = task->name();
    const size_t name_size = std::min(name.size(), answer_.name.size());
    std::memcpy(answer_.name.data(), name.data(), name_size);
    answer_.seen.name = {answer_.name.data(), name_size};
    answer_.seen.tag = where.tag;
    if (where.tag != nullptr) where.tag->Ref();
    const Traceback walk = Walk(where, registers, answer_.pcs);
    answer_.seen.stack = {answer_.pcs.data(), walk.depth};
    answer_.seen.stack_end = walk.end;
  }
  // release: pairs with the acquire in Poll()
  state_.store(Word(question, kDone), std::memory_order_release);
}

// relaxed: written by this very thread
inline bool SliceProbe::IsAbout(Task& task) const {
  return tick_ != nullptr ? tick_->load(std::memory_order_relaxed) == expected_tick_
                          : RollCall::Claim(task, epoch_);
}

bool SliceProbe::Install() {
  // SIGPROF waits, so that its handler's frames are never between us and the task.
  static const bool installed =
      InstallSignalHandler(kSignal, &OnSignal, uint64_t{1} << (SIGPROF - 1), &g_previous);
  return installed;
}

uint32_t SliceProbe::Ask(pid_t tid, const std::atomic<uint32_t>* tick, uint32_t expected_tick,
                         const std::atomic<uint64_t>* blocking) {
  // acquire: pairs with the releases in Finish() and GiveUp()
  if (own_.exchange(true, std::memory_order_acquire)) return 0;
  tick_ = tick;
  expected_tick_ = expected_tick;
  RollCall::BeginSignalling();
  if (blocking->load(std::memory_order_seq_cst) == 0) return Send(tid);  // seq_cst: see MaySignal()
  Finish();
  return 0;
}

uint32_t SliceProbe::AskForRoll(pid_t tid, uint32_t epoch) {
  if (own_.exchange(true, std::memory_order_acquire)) return 0;  // acquire: as above
  tick_ = nullptr;
  epoch_ = epoch;
  return Send(tid);
}

uint32_t SliceProbe::Send(pid_t tid) {
  if (!Install()) {
    Finish();
    return 0;
  }
  if (++last_question_ == 0) ++last_question_;
  const uint32_t question = last_question_;
  // release: hands the question to Answer()
  state_.store(Word(question, kAsked), std::memory_order_release);
  const auto index = static_cast<uint64_t>(this - g_probes.data());
  siginfo_t info = {};
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = reinterpret_cast<void*>(kMark | index << kIndexShift | question);
  if (syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, kSignal, &info) == 0) return question;
  GiveUp(question);
  return 0;
}

const SliceAnswer* SliceProbe::Poll(uint32_t question) const {
  // acquire: pairs with the release in Answer()
  return state_.load(std::memory_order_acquire) == Word(question, kDone) ? &answer_ : nullptr;
}

void SliceProbe::Finish() {
  if (tick_ != nullptr) RollCall::EndSignalling();
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
