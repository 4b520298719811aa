// SPDX-License-Identifier: Apache-2.0
//
// ReportWords with names: what a report's addresses and tags mean.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "export/symbolize.h"
#include "profiler/mappings.h"
#include "runtime/report_text.h"

namespace curg::internal {

// Text that stays together, to be written at once.
class StringSink final : public ReportSink {
 public:
  using ReportSink::Append;
  void Append(std::string_view text) override { text_.append(text); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Reads files of programs and libraries when first asked and when modules came or went since.
// Thread-compatible. Needs a thread's stack, not a task's.
class SymbolWords final : public ReportWords {
 public:
  // The frames of the runtime's own at both ends are left out, and repetitions of a line are
  // counted.
  void AppendStack(ReportSink& sink, const ReportedTask& task) override;
  // The caller of Go, or whatever spawned the task.
  void AppendSite(ReportSink& sink, uintptr_t pc) override;
  void AppendLabels(ReportSink& sink, const Tag* tag) override;

 private:
  struct Line {
    std::string text;
    bool internal = false;
  };

  Symbolizer& symbolizer();
  void AppendLines(uintptr_t address, std::vector<Line>& lines);

  MappingRecorder recorder_;
  std::unique_ptr<Symbolizer> symbolizer_;
};

}  // namespace curg::internal
