// SPDX-License-Identifier: Apache-2.0
#include "runtime/report_text.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace curg::internal {
namespace {

constexpr size_t kTasksInAGroup = 8;  // whose ids are printed

std::string_view BaseName(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

// A parked task's stack but for the switch itself, which has two forms.
std::span<const uintptr_t> Waiting(const ReportedTask& task) {
  constexpr size_t kSwitch = 2;
  return task.stack.subspan(std::min(kSwitch, task.stack.size()));
}

bool SameBlock(const ReportedTask& a, const ReportedTask& b) {
  return a.name == b.name && a.tag == b.tag && a.spawn_pc == b.spawn_pc && a.wait == b.wait &&
         std::ranges::equal(Waiting(a), Waiting(b));
}

void AppendSpawn(ReportSink& sink, ReportWords& words, const ReportedTask& task) {
  sink.Append("  spawned by ");
  if (task.spawner_id == 0) {
    sink.Append("a plain thread");
  } else {
    sink.Append("task ");
    sink.Append(task.spawner_id);
  }
  sink.Append(" at ");
  words.AppendSite(sink, task.spawn_pc);
  sink.Append("\n");
}

// Labels, stack and spawn site.
void AppendTaskRest(ReportSink& sink, ReportWords& words, const ReportedTask& task) {
  if (task.tag != nullptr) {
    words.AppendLabels(sink, task.tag);
    sink.Append("\n");
  }
  words.AppendStack(sink, task);
  AppendSpawn(sink, words, task);
}

const char* FatalSignalName(int signal) {
  switch (signal) {
    case SIGSEGV:
      return "segmentation fault";
    case SIGBUS:
      return "bus error";
    case SIGFPE:
      return "arithmetic error";
    case SIGILL:
      return "illegal instruction";
    default:
      return "abort";
  }
}

// Tasks alike are shown once; `shown` marks those that were. Deadlocks of many tasks are such of
// few kinds.
void AppendGroup(ReportSink& sink, ReportWords& words, std::span<const ReportedTask> tasks,
                 size_t first) {
  const ReportedTask& task = tasks[first];
  AppendTask(sink, task);
  words.AppendLabels(sink, task.tag);
  size_t alike = 0;
  for (size_t i = first + 1; i < tasks.size(); ++i) {
    if (!SameBlock(task, tasks[i])) continue;
    if (++alike > kTasksInAGroup) continue;
    sink.Append(alike == 1 ? ", and alike " : ", ");
    sink.Append(tasks[i].id);
  }
  if (alike > kTasksInAGroup) {
    sink.Append(" and ");
    sink.Append(alike - kTasksInAGroup);
    sink.Append(" more");
  }
  sink.Append(" [");
  sink.Append(task.wait != nullptr ? task.wait : "running");
  sink.Append("]:\n");
  words.AppendStack(sink, task);
  AppendSpawn(sink, words, task);
}

void AppendGroups(ReportSink& sink, ReportWords& words, std::span<const ReportedTask> tasks,
                  size_t total) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    const auto before = tasks.first(i);
    const bool shown = std::ranges::any_of(
        before, [&](const ReportedTask& task) { return SameBlock(task, tasks[i]); });
    if (!shown) AppendGroup(sink, words, tasks, i);
  }
  if (tasks.size() == total) return;
  sink.Append("and ");
  sink.Append(total - tasks.size());
  sink.Append(" tasks more\n");
}

}  // namespace

void ReportSink::Append(uint64_t number) {
  char digits[20];
  size_t at = sizeof(digits);
  do {
    digits[--at] = static_cast<char>('0' + number % 10);
  } while ((number /= 10) != 0);
  Append(std::string_view(digits + at, sizeof(digits) - at));
}

void ReportSink::AppendHex(uintptr_t number) {
  char digits[16];
  size_t at = sizeof(digits);
  do {
    digits[--at] = "0123456789abcdef"[number % 16];
  } while ((number /= 16) != 0);
  Append("0x");
  Append(std::string_view(digits + at, sizeof(digits) - at));
}

void StderrSink::Append(std::string_view text) {
  while (!text.empty()) {
    if (size_ == sizeof(buffer_)) Flush();
    const size_t part = std::min(text.size(), sizeof(buffer_) - size_);
    std::memcpy(buffer_ + size_, text.data(), part);
    size_ += part;
    text.remove_prefix(part);
  }
}

void StderrSink::Flush() {
  size_t written = 0;
  while (written < size_) {
    const ssize_t result = write(STDERR_FILENO, buffer_ + written, size_ - written);
    if (result <= 0 && errno != EINTR) break;  // nowhere to complain
    if (result > 0) written += static_cast<size_t>(result);
  }
  size_ = 0;
}

void AppendAddress(ReportSink& sink, uintptr_t pc) {
  sink.AppendHex(pc);
  dl_find_object found;
  if (_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0) return;
  const link_map& module = *found.dlfo_link_map;
  const std::string_view name = module.l_name;
  sink.Append(" (");
  sink.Append(name.empty() ? std::string_view(program_invocation_short_name) : BaseName(name));
  sink.Append("+");
  sink.AppendHex(pc - module.l_addr);
  sink.Append(")");
}

void AppendTask(ReportSink& sink, const ReportedTask& task) {
  sink.Append("task ");
  sink.Append(task.id);
  if (task.name.empty()) return;
  sink.Append(" \"");
  sink.Append(task.name);
  sink.Append("\"");
}

void ReportWords::AppendStack(ReportSink& sink, const ReportedTask& task) {
  for (size_t i = 0; i < task.stack.size(); ++i) {
    sink.Append("    ");
    AppendAddress(sink, task.stack[i] - (i == 0 ? 0 : 1));
    sink.Append("\n");
  }
  if (task.stack_cut) sink.Append("    ...\n");
}

void ReportWords::AppendSite(ReportSink& sink, uintptr_t pc) { AppendAddress(sink, pc - 1); }

void ReportWords::AppendLabels(ReportSink&, const Tag*) {}

void AppendOverflowHead(ReportSink& sink, const StackOverflowReport& report) {
  sink.Append("curg: stack overflow in ");
  AppendTask(sink, report.task);
  sink.Append(", which has a stack of ");
  sink.Append(report.task.stack_size >> 10);
  sink.Append(" KiB (TaskOptions::stack_size, RuntimeOptions::stack_size), at address ");
  sink.AppendHex(report.address);
  sink.Append("\n");
}

void AppendOverflowRest(ReportSink& sink, ReportWords& words, const StackOverflowReport& report) {
  AppendTaskRest(sink, words, report.task);
}

void AppendFatalHead(ReportSink& sink, const FatalSignalReport& report) {
  sink.Append("curg: ");
  sink.Append(FatalSignalName(report.signal));
  if (report.signal != SIGABRT) {
    sink.Append(" at address ");
    sink.AppendHex(report.address);
  }
  sink.Append(" in ");
  AppendTask(sink, report.task);
  if (!report.task.stack.empty()) {
    sink.Append(", pc ");
    AppendAddress(sink, report.task.stack.front());
  }
  sink.Append("\n");
}

void AppendFatalRest(ReportSink& sink, ReportWords& words, const FatalSignalReport& report) {
  AppendTaskRest(sink, words, report.task);
}

void AppendLongSlice(ReportSink& sink, ReportWords& words, const LongSliceReport& report) {
  sink.Append("curg: ");
  AppendTask(sink, report.task);
  words.AppendLabels(sink, report.task.tag);
  sink.Append(" has kept its worker for ");
  sink.Append(static_cast<uint64_t>(report.held.count()) / 1'000'000);
  sink.Append(report.asleep ? " ms, now asleep in a system call" : " ms");
  if (report.unreported > 0) {
    sink.Append(" (");
    sink.Append(report.unreported);
    sink.Append(" such slices not reported since the last one)");
  }
  sink.Append("\n");
  words.AppendStack(sink, report.task);
  AppendSpawn(sink, words, report.task);
}

void AppendDeadlock(ReportSink& sink, ReportWords& words, const DeadlockReport& report) {
  if (report.certain) {
    sink.Append("curg: deadlock: all tasks are asleep (");
    sink.Append(report.tasks_total);
    sink.Append("), and nothing can wake them\n");
  } else {
    sink.Append("curg: all tasks are asleep (");
    sink.Append(report.tasks_total);
    sink.Append(
        "), and only threads outside of the runtime could wake them; if none will, this is a "
        "deadlock\n");
  }
  AppendGroups(sink, words, report.tasks, report.tasks_total);
}

void AppendAbandoned(ReportSink& sink, ReportWords& words, const AbandonedReport& report) {
  sink.Append("curg: the runtime ends with ");
  sink.Append(report.tasks_total);
  sink.Append(report.tasks_total == 1 ? " task that has not ended:\n"
                                      : " tasks that have not ended:\n");
  AppendGroups(sink, words, report.tasks, report.tasks_total);
}

}  // namespace curg::internal
