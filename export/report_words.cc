// SPDX-License-Identifier: Apache-2.0
#include "export/report_words.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "labels/label_set.h"

namespace curg::internal {
namespace {

// What the runtime is made of, as opposed to what is offered to users.
bool IsInternal(const Frame& frame) {
  constexpr std::array<std::string_view, 3> kPrefixes = {"curg::internal::", "std::__invoke",
                                                         "std::invoke"};
  const std::string_view function = frame.function;
  return std::ranges::any_of(kPrefixes,
                             [&](std::string_view prefix) { return function.starts_with(prefix); });
}

// The forms of Go, which are inlined into their callers.
bool IsSpawning(const Frame& frame) {
  const std::string_view file = frame.file;
  return IsInternal(frame) || file.ends_with("runtime/spawn.h") || file.ends_with("runtime/go.h") ||
         file.ends_with("runtime/runtime.h");
}

std::string TextOf(const Frame& frame) {
  const absl::string_view function(frame.function.data(), frame.function.size());
  if (frame.file.empty()) return std::string(function);
  return absl::StrCat(function, " ", frame.file, ":", frame.line);
}

}  // namespace

Symbolizer& SymbolWords::symbolizer() {
  if (recorder_.Capture() || symbolizer_ == nullptr) {
    symbolizer_ =
        std::make_unique<Symbolizer>(CurrentMappings(), SymbolizerOptions{.remember = true});
  }
  return *symbolizer_;
}

void SymbolWords::AppendLines(uintptr_t address, std::vector<Line>& lines) {
  const std::vector<Frame>& frames = symbolizer().FramesAt(address);
  if (frames.empty()) {
    StringSink text;
    AppendAddress(text, address);
    lines.push_back({.text = text.text()});
  }
  for (const Frame& frame : frames) {
    lines.push_back({.text = TextOf(frame), .internal = IsInternal(frame)});
  }
}

void SymbolWords::AppendStack(ReportSink& sink, const ReportedTask& task) {
  std::vector<Line> lines;
  for (size_t i = 0; i < task.stack.size(); ++i)
    AppendLines(task.stack[i] - (i == 0 ? 0 : 1), lines);
  const auto is_users = [](const Line& line) { return !line.internal; };
  auto first = lines.begin();
  // An interrupted leaf may be in the runtime, and is told; a parked one is there always.
  if (task.wait != nullptr) first = std::find_if(first, lines.end(), is_users);
  auto end = std::find_if(lines.rbegin(), lines.rend(), is_users).base();
  if (first >= end) {
    first = lines.begin();
    end = lines.end();
  }
  while (first != end) {
    const auto next =
        std::find_if(first, end, [&](const Line& line) { return line.text != first->text; });
    sink.Append(absl::StrCat("    ", first->text));
    if (next - first > 1) sink.Append(absl::StrCat(" (", next - first, " times)"));
    sink.Append("\n");
    first = next;
  }
  if (task.stack_cut) sink.Append("    ...\n");
}

void SymbolWords::AppendSite(ReportSink& sink, uintptr_t pc) {
  const std::vector<Frame>& frames = symbolizer().FramesAt(pc - 1);
  if (frames.empty()) return AppendAddress(sink, pc - 1);
  auto frame = std::ranges::find_if_not(frames, &IsSpawning);
  if (frame == frames.end()) --frame;
  sink.Append(TextOf(*frame));
}

void SymbolWords::AppendLabels(ReportSink& sink, const Tag* tag) {
  const LabelSet* const labels = LabelSet::FromTag(tag);
  if (labels == nullptr) return;
  sink.Append(" ");
  sink.Append(labels->ToString());
}

}  // namespace curg::internal
