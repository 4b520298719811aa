// SPDX-License-Identifier: Apache-2.0
#include "runtime/fault_handler.h"

#include <errno.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <span>

#include "runtime/current.h"
#include "runtime/report_text.h"
#include "runtime/reporter.h"
#include "runtime/schedule_seed.h"
#include "runtime/signal_action.h"
#include "runtime/stack_pool.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"
#include "runtime/traceback.h"

namespace curg::internal {
namespace {

constexpr uintptr_t kPage = 4096;
constexpr uintptr_t kBelow = 16 * kPage;  // how far below the guard a frame may reach
constexpr uintptr_t kRedZone = 128;
constexpr size_t kFrames = 64;
constexpr size_t kNameMax = 63;

// The task that was reported last: an earlier handler that returns makes the fault come again.
std::atomic<uint64_t> g_reported{0};
// The process ends only once.
std::atomic<bool> g_reported_fatal{false};

bool IsOverflow(const Task& task, uintptr_t address, uintptr_t sp) {
  if (!task.HasStack()) return false;
  const uintptr_t usable = task.context.stack().low;
  const uintptr_t guard = usable - StackSlot::kGuardBytes;
  return guard - kBelow <= address && address < usable && guard - kBelow <= sp &&
         sp <= address + kRedZone;
}

// The task whose stack has overflowed: the current one, or, early in a switch, the one being left.
const Task* OverflowedTask(uintptr_t address, uintptr_t sp) {
  const ThreadState& thread = ThisThread();
  for (const Task* task : {thread.current.load(std::memory_order_relaxed),  // relaxed, both: see
                           thread.left.load(std::memory_order_relaxed)}) {  // ThreadState
    if (task != nullptr && IsOverflow(*task, address, sp)) return task;
  }
  return nullptr;
}

ReportedTask Describe(const Task& task) {
  return {.id = task.id,
          .name = task.name().substr(0, kNameMax),
          .tag = task.tag.load(std::memory_order_relaxed),  // relaxed: on the task's own thread
          .spawner_id = task.spawner_id,
          .spawn_pc = task.spawn_pc,
          .stack_size = task.context.stack().size()};
}

void ReportOverflow(const Task& task, uintptr_t address, const Registers& registers) {
  if (g_reported.exchange(task.id, std::memory_order_relaxed) == task.id) return;
  StackBounds bounds = task.context.stack();
  // What the leaf has below is not read: frames are looked for upwards from the stack pointer.
  bounds.low = std::min(bounds.low, registers.sp);
  uintptr_t pcs[kFrames];
  const Traceback walk = WalkStack(registers, bounds, pcs);
  StackOverflowReport report = {.task = Describe(task), .address = address};
  report.task.stack = std::span(pcs, walk.depth);
  report.task.stack_cut = walk.end == TracebackEnd::kTruncated;
  CurrentReporter().OnStackOverflow(report);
}

void ReportFatal(const Task& task, int signal, uintptr_t address, const Registers& registers) {
  uintptr_t pcs[kFrames];
  const Where where = WhereAmI(registers);
  pcs[0] = registers.pc;
  Traceback walk = {.depth = 1};
  if (where.stack == Where::Stack::kTask) walk = WalkStack(registers, where.bounds, pcs);
  FatalSignalReport report = {.task = Describe(task), .signal = signal, .address = address};
  report.task.stack = std::span(pcs, walk.depth);
  report.task.stack_cut = walk.end == TracebackEnd::kTruncated;
  CurrentReporter().OnFatalSignal(report);
}

// Of those that were there before ours, by signal; written once, before the handler is installed.
struct Handled {
  int signal;
  SignalAction previous;
};
Handled g_handled[] = {{SIGSEGV, {}}, {SIGBUS, {}}, {SIGFPE, {}}, {SIGILL, {}}, {SIGABRT, {}}};

const SignalAction& PreviousOf(int signal) {
  for (const Handled& handled : g_handled) {
    if (handled.signal == signal) return handled.previous;
  }
  __builtin_unreachable();
}

// The kernel's own faults; others only carry the number. An abort is always a thread's own doing.
bool IsGenuine(int signal, const siginfo_t& info) {
  return info.si_code > 0 ||
         (signal == SIGABRT && info.si_code == SI_TKILL && info.si_pid == getpid());
}

void OnFault(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const SignalAction& previous = PreviousOf(signal);
  if (IsGenuine(signal, *info)) {
    const Registers registers = RegistersOf(*static_cast<const ucontext_t*>(context));
    const bool touches = signal == SIGSEGV || signal == SIGBUS;
    const auto address = signal == SIGABRT ? 0 : reinterpret_cast<uintptr_t>(info->si_addr);
    const Task* const overflowed = touches ? OverflowedTask(address, registers.sp) : nullptr;
    if (overflowed != nullptr) {
      ReportOverflow(*overflowed, address, registers);
    } else if (const Task* current = CurrentTask();
               current != nullptr && previous.IsDefault() && !g_reported_fatal.exchange(true)) {
      ReportFatal(*current, signal, address, registers);
    }
    if (overflowed != nullptr || previous.IsDefault()) TellScheduleSeedAgain();
  }
  PassSignalOn(previous, signal, info, context);
  errno = saved_errno;
}

}  // namespace

bool IsDying() {  // relaxed, both: a hint
  return g_reported.load(std::memory_order_relaxed) != 0 ||
         g_reported_fatal.load(std::memory_order_relaxed);
}

void InstallFaultHandler() {
  static const bool installed = [] {
    // None interrupts another: a fault inside the handler ends the process at once.
    uint64_t mask = 0;
    for (const Handled& handled : g_handled) mask |= uint64_t{1} << (handled.signal - 1);
    bool all = true;
    for (Handled& handled : g_handled) {
      all &= InstallSignalHandler(handled.signal, &OnFault, mask, &handled.previous);
    }
    return all;
  }();
  (void)installed;
}

}  // namespace curg::internal
