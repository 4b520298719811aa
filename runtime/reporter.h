// SPDX-License-Identifier: Apache-2.0
//
// Reporter: where what the runtime has to say by itself goes. Five things are reported: a task that
// overflows its stack, the task in which any other fault or an abort happens, a task that keeps its
// worker for long, a deadlock, and tasks that a runtime leaves behind at its end. runtime/README.md
// tells the rules.
//
// Without a reporter of the program's own, reports go to standard error, with addresses;
// export/reports.h has a reporter that knows functions, lines and labels.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/tag.h"

namespace curg {

// A task, as a report shows it. Holds no references: valid until the reporter returns.
struct ReportedTask {
  uint64_t id = 0;
  std::string_view name = {};  // no more than 63 bytes of it; empty when it has none
  const Tag* tag = nullptr;    // its labels; null: none, or they could not be had
  uint64_t spawner_id = 0;     // 0: a plain thread
  uintptr_t spawn_pc = 0;      // the return address of the call that spawned it
  size_t stack_size = 0;       // bytes
  const char* wait = nullptr;  // why it is parked ("channel receive"), or what keeps it; null: it
                               // runs
  // Leaf first. The first is an instruction, the others are return addresses. May be empty, or end
  // before the root (then `stack_cut`).
  std::span<const uintptr_t> stack = {};
  bool stack_cut = false;
};

struct StackOverflowReport {
  ReportedTask task = {};
  uintptr_t address = 0;  // that was touched, in or below the guard page
};

struct FatalSignalReport {
  ReportedTask task = {};  // in which it happened
  int signal = 0;          // SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT
  uintptr_t address = 0;   // of a fault: that was touched, or whose instruction failed
};

struct LongSliceReport {
  ReportedTask task = {};           // the stack is that of the moment of the report
  std::chrono::nanoseconds held{};  // how long it has kept its worker at least; it goes on
  bool asleep = false;              // in a system call, and not executing
  uint64_t unreported = 0;          // long slices since the last report that the rate limit kept
                                    // back
};

struct DeadlockReport {
  std::span<const ReportedTask> tasks = {};  // the parked ones, by id; no more than 10,000
  size_t tasks_total = 0;
  bool certain = false;  // nothing can wake them; else threads outside of the runtime could
  bool fatal = false;    // the process ends when the reporter returns
};

struct AbandonedReport {
  std::span<const ReportedTask> tasks = {};  // by id; no more than 1000
  size_t tasks_total = 0;
};

// The defaults print to standard error. Override what should go elsewhere.
// Thread-safe: reports come from several threads, and may come at once.
class Reporter {
 public:
  virtual ~Reporter() = default;

  // On the faulting thread's alternate signal stack (64 KiB), inside a handler of SIGSEGV or
  // SIGBUS: must be async-signal-safe. The process dies when it returns, unless an earlier handler
  // of the program's prevents it. Comes once a task.
  virtual void OnStackOverflow(const StackOverflowReport& report) noexcept;

  // The same for other ends of the process: a fault, or an abort (std::terminate's, say, for an
  // uncaught exception), in a task, where the program has no handler of its own.
  virtual void OnFatalSignal(const FatalSignalReport& report) noexcept;

  // On a task of the runtime's service worker. Must not wait for user tasks. Blocks: whatever the
  // runtime does in the background, so not for long.
  virtual void OnLongSlice(const LongSliceReport& report);

  // As OnLongSlice. If it is fatal, standard output is flushed and the process exits with status 2
  // when this returns.
  virtual void OnDeadlock(const DeadlockReport& report);

  // On the thread that ends a runtime, whose tasks these are. By Runtime::Shutdown, or if
  // RuntimeOptions::report_abandoned says so. May block the thread, but not wait for those tasks.
  virtual void OnAbandoned(const AbandonedReport& report);
};

// Makes `reporter`, which must live for ever, the one that hears of everything from now on. Null:
// the default one again. Returns the one before, null for the default.
// Thread-safe. Blocks: nothing.
Reporter* SetReporter(Reporter* reporter);

namespace internal {

// The one installed, or the default. Async-signal-safe.
Reporter& CurrentReporter();

}  // namespace internal
}  // namespace curg
