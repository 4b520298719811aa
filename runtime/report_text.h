// SPDX-License-Identifier: Apache-2.0
//
// The text of reports. What is async-signal-safe here says so; the fatal path uses nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/reporter.h"

namespace curg::internal {

// Where text goes.
// Thread-compatible.
class ReportSink {
 public:
  virtual void Append(std::string_view text) = 0;
  void Append(uint64_t number);
  void AppendHex(uintptr_t number);

 protected:
  ~ReportSink() = default;
};

// Standard error, through a buffer of its own: a report that fits is one write, and stays together.
// Async-signal-safe.
class StderrSink final : public ReportSink {
 public:
  StderrSink() = default;
  StderrSink(const StderrSink&) = delete;
  StderrSink& operator=(const StderrSink&) = delete;
  ~StderrSink() { Flush(); }

  using ReportSink::Append;
  void Append(std::string_view text) override;
  void Flush();

 private:
  size_t size_ = 0;
  char buffer_[4096];
};

// How addresses and tags are put into words. This one knows modules, and is async-signal-safe.
class ReportWords {
 public:
  virtual ~ReportWords() = default;
  // Lines of a stack, each indented by four and ending in a newline.
  virtual void AppendStack(ReportSink& sink, const ReportedTask& task);
  // Where a call is that returns to `pc`, without a newline.
  virtual void AppendSite(ReportSink& sink, uintptr_t pc);
  // " {...}", or nothing.
  virtual void AppendLabels(ReportSink& sink, const Tag* tag);
};

// "0x5581a0 (program+0x1a0)". Async-signal-safe.
void AppendAddress(ReportSink& sink, uintptr_t pc);

// 'task 7 "name"'. Async-signal-safe.
void AppendTask(ReportSink& sink, const ReportedTask& task);

// The whole reports, from "curg: " to the last newline. As async-signal-safe as sink and words.
void AppendOverflowHead(ReportSink& sink, const StackOverflowReport& report);  // one line
void AppendOverflowRest(ReportSink& sink, ReportWords& words, const StackOverflowReport& report);
void AppendFatalHead(ReportSink& sink, const FatalSignalReport& report);  // one line
void AppendFatalRest(ReportSink& sink, ReportWords& words, const FatalSignalReport& report);
void AppendLongSlice(ReportSink& sink, ReportWords& words, const LongSliceReport& report);
void AppendDeadlock(ReportSink& sink, ReportWords& words, const DeadlockReport& report);
void AppendAbandoned(ReportSink& sink, ReportWords& words, const AbandonedReport& report);

}  // namespace curg::internal
