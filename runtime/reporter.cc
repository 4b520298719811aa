// SPDX-License-Identifier: Apache-2.0
#include "runtime/reporter.h"

#include <atomic>

#include "runtime/report_text.h"

namespace curg {
namespace {

std::atomic<Reporter*> g_reporter{nullptr};

// Never destroyed, and made at compile time: good to the process's last instruction, and in
// handlers.
union Forever {
  constexpr Forever() : reporter() {}
  ~Forever() {}
  Reporter reporter;
};
constinit Forever g_default;

}  // namespace

void Reporter::OnStackOverflow(const StackOverflowReport& report) noexcept {
  internal::StderrSink sink;
  internal::ReportWords words;
  internal::AppendOverflowHead(sink, report);
  internal::AppendOverflowRest(sink, words, report);
}

void Reporter::OnFatalSignal(const FatalSignalReport& report) noexcept {
  internal::StderrSink sink;
  internal::ReportWords words;
  internal::AppendFatalHead(sink, report);
  internal::AppendFatalRest(sink, words, report);
}

void Reporter::OnLongSlice(const LongSliceReport& report) {
  internal::StderrSink sink;
  internal::ReportWords words;
  internal::AppendLongSlice(sink, words, report);
}

void Reporter::OnDeadlock(const DeadlockReport& report) {
  internal::StderrSink sink;
  internal::ReportWords words;
  internal::AppendDeadlock(sink, words, report);
}

void Reporter::OnAbandoned(const AbandonedReport& report) {
  internal::StderrSink sink;
  internal::ReportWords words;
  internal::AppendAbandoned(sink, words, report);
}

Reporter* SetReporter(Reporter* reporter) {
  // acq_rel: hands the reporter to CurrentReporter(), and the one before to the caller
  return g_reporter.exchange(reporter, std::memory_order_acq_rel);
}

namespace internal {

Reporter& CurrentReporter() {
  // acquire: pairs with SetReporter()
  Reporter* const reporter = g_reporter.load(std::memory_order_acquire);
  return reporter != nullptr ? *reporter : g_default.reporter;
}

}  // namespace internal
}  // namespace curg
