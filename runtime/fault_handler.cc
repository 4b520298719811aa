// SPDX-License-Identifier: Apache-2.0
#include "runtime/fault_handler.h"

#include <errno.h>
#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <span>

#include "runtime/report_text.h"
#include "runtime/reporter.h"
#include "runtime/signal_action.h"
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

// Written once, before the handler is installed.
SignalAction g_previous_segv;
SignalAction g_previous_bus;

// The task that was reported last: an earlier handler that returns makes the fault come again.
std::atomic<uint64_t> g_reported{0};

bool IsOverflow(const Task& task, uintptr_t address, uintptr_t sp) {
  if (!task.stack) return false;
  const uintptr_t guard = reinterpret_cast<uintptr_t>(task.stack.base);
  const uintptr_t usable = task.stack.usable().low;
  return guard - kBelow <= address && address < usable && guard - kBelow <= sp &&
         sp <= address + kRedZone;
}

// The task whose stack has overflowed: the current one, or, early in a switch, the one being left.
const Task* OverflowedTask(uintptr_t address, uintptr_t sp) {
  const ThreadState& thread = ThisThread();
  for (const Task* task : {thread.current.load(std::memory_order_relaxed),   // relaxed, both: see
                           thread.left.load(std::memory_order_relaxed)}) {   // ThreadState
    if (task != nullptr && IsOverflow(*task, address, sp)) return task;
  }
  return nullptr;
}

ReportedTask Describe(const Task& task) {
  return {.id = task.id,
          .name = std::string_view(task.name).substr(0, kNameMax),
          .tag = task.tag.load(std::memory_order_relaxed),  // relaxed: on the task's own thread
          .spawner_id = task.spawner_id,
          .spawn_pc = task.spawn_pc,
          .stack_size = task.stack.size};
}

void ReportOverflow(const Task& task, uintptr_t address, const Registers& registers) {
  if (g_reported.exchange(task.id, std::memory_order_relaxed) == task.id) return;
  StackBounds bounds = task.stack.usable();
  // What the leaf has below is not read: frames are looked for upwards from the stack pointer.
  bounds.low = std::min(bounds.low, registers.sp);
  uintptr_t pcs[kFrames];
  const Traceback walk = WalkStack(registers, bounds, pcs);
  StackOverflowReport report = {.task = Describe(task), .address = address};
  report.task.stack = std::span(pcs, walk.depth);
  report.task.stack_cut = walk.end == TracebackEnd::kTruncated;
  CurrentReporter().OnStackOverflow(report);
}

void SayWhichTask(const Task& task, int signal, uintptr_t address, uintptr_t pc) {
  StderrSink sink;
  sink.Append(signal == SIGBUS ? "curg: bus error at address " : "curg: segmentation fault at address ");
  sink.AppendHex(address);
  sink.Append(" in ");
  AppendTask(sink, Describe(task));
  sink.Append(", pc ");
  AppendAddress(sink, pc);
  sink.Append("\n");
}

void OnFault(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const SignalAction& previous = signal == SIGBUS ? g_previous_bus : g_previous_segv;
  if (info->si_code > 0) {  // the kernel's own; others only carry the number
    const Registers registers = RegistersOf(*static_cast<const ucontext_t*>(context));
    const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    if (const Task* task = OverflowedTask(address, registers.sp)) {
      ReportOverflow(*task, address, registers);
    } else if (const Task* current = CurrentTask(); current != nullptr && previous.IsDefault()) {
      SayWhichTask(*current, signal, address, registers.pc);
    }
  }
  PassSignalOn(previous, signal, info, context);
  errno = saved_errno;
}

}  // namespace

void InstallFaultHandler() {
  static const bool installed = [] {
    // Neither interrupts the other: a fault inside the handler ends the process at once.
    const uint64_t mask = uint64_t{1} << (SIGSEGV - 1) | uint64_t{1} << (SIGBUS - 1);
    return InstallSignalHandler(SIGSEGV, &OnFault, mask, &g_previous_segv) &
           InstallSignalHandler(SIGBUS, &OnFault, mask, &g_previous_bus);
  }();
  (void)installed;
}

}  // namespace curg::internal
