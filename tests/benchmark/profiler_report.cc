// SPDX-License-Identifier: Apache-2.0
#include "tests/benchmark/profiler_report.h"

#include <cmath>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "export/table.h"

namespace curg {
namespace {

// Four digits that say something; percentages near 100 need more.
std::string Figure(double value) {
  const double size = std::abs(value);
  if (size >= 99 && size < 100) return absl::StrFormat("%.4f", value);
  if (value == std::round(value) && size < 1e9) return absl::StrFormat("%.0f", value);
  return absl::StrFormat("%.4g", value);
}

std::string Quoted(std::string_view text) {
  return absl::StrCat("\"",
                      absl::StrReplaceAll(absl::string_view(text.data(), text.size()),
                                          {{"\\", "\\\\"}, {"\"", "\\\""}}),
                      "\"");
}

}  // namespace

std::string Bound::ToString() const {
  const bool low = std::isfinite(at_least);
  const bool high = std::isfinite(at_most);
  if (low && high) {
    return at_least == at_most ? Figure(at_least)
                               : absl::StrCat(Figure(at_least), " - ", Figure(at_most));
  }
  if (low) return absl::StrCat(">= ", Figure(at_least));
  if (high) return absl::StrCat("<= ", Figure(at_most));
  return "";
}

void ProfilerReport::Add(std::string_view name, double value, std::string_view unit,
                         const Bound& target) {
  const std::string bound = target.ToString();
  const bool holds = target.Holds(value);
  AddRow({.name = std::string(name),
          .value = value,
          .unit = std::string(unit),
          .target = bound,
          .holds = bound.empty() ? std::optional<bool>() : holds,
          .verdict = bound.empty() ? ""
                     : holds       ? "yes"
                                   : "NO"});
}

void ProfilerReport::AddWithVerdict(std::string_view name, double value, std::string_view unit,
                                    std::string_view target, std::optional<bool> holds,
                                    std::string_view verdict) {
  AddRow({.name = std::string(name),
          .value = value,
          .unit = std::string(unit),
          .target = std::string(target),
          .holds = holds,
          .verdict = std::string(verdict)});
}

void ProfilerReport::AddMissing(std::string_view name, std::string_view unit, const Bound& target,
                                std::string_view why) {
  AddRow({.name = std::string(name),
          .unit = std::string(unit),
          .target = target.ToString(),
          .verdict = absl::StrCat("not measured: ", absl::string_view(why.data(), why.size()))});
}

void ProfilerReport::AddRow(Row row) {
  std::fprintf(stderr, "  %s: %s %s%s%s\n", row.name.c_str(),
               row.value ? Figure(*row.value).c_str() : "-", row.unit.c_str(),
               row.verdict.empty() ? "" : "; ", row.verdict.c_str());
  rows_.push_back(std::move(row));
}

void ProfilerReport::Note(std::string note) { notes_.push_back(std::move(note)); }

void ProfilerReport::Progress(std::string_view what) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(what.size()), what.data());
}

std::string ProfilerReport::Table() const {
  internal::Table table(
      {{"what"}, {.header = "value", .right = true}, {"unit"}, {"target"}, {"holds"}});
  for (const Row& row : rows_) {
    table.AddRow(
        {row.name, row.value ? Figure(*row.value) : "-", row.unit, row.target, row.verdict});
  }
  std::string text = table.Render();
  for (const std::string& note : notes_) absl::StrAppend(&text, "\n", note, "\n");
  return text;
}

std::string ProfilerReport::Json() const {
  std::string json = "[";
  for (const Row& row : rows_) {
    absl::StrAppend(&json, json.size() == 1 ? "\n" : ",\n", "  {\"name\": ", Quoted(row.name),
                    ", \"value\": ", row.value ? absl::StrFormat("%.9g", *row.value) : "null",
                    ", \"unit\": ", Quoted(row.unit), ", \"target\": ", Quoted(row.target),
                    ", \"holds\": ", row.holds ? (*row.holds ? "true" : "false") : "null", "}");
  }
  absl::StrAppend(&json, "\n]\n");
  return json;
}

bool ProfilerReport::AllHold() const {
  for (const Row& row : rows_) {
    if (row.holds == false) return false;
  }
  return true;
}

}  // namespace curg
