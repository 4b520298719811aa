// SPDX-License-Identifier: Apache-2.0
#include "export/text.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "export/demangle.h"
#include "export/label_sums.h"
#include "export/large_stack.h"
#include "export/pseudo_names.h"
#include "export/quality.h"
#include "export/table.h"
#include "labels/utf8.h"

namespace curg {
namespace {

using internal::Table;

constexpr size_t kWidthMin = 40;
constexpr size_t kBarMax = 40;
constexpr size_t kNameMin = 20;       // columns, however narrow the terminal
constexpr int64_t kRoughBelow = 200;  // samples

std::string PercentText(int64_t part, int64_t whole) {
  const double share = whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  return absl::StrFormat("%.1f%%", 100 * share);
}

// In the unit that suits the table's total, so that a column reads well: "1.25s", "340ms", "12.3M".
std::string Time(const CpuProfile& profile, int64_t weight, int64_t total_weight) {
  const auto amount = static_cast<double>(weight);
  if (profile.unit != "nanoseconds") return absl::StrFormat("%.1fM", amount * 1e-6);
  if (total_weight < 1'000'000'000) return absl::StrFormat("%.0fms", amount * 1e-6);
  return absl::StrFormat("%.2fs", amount * 1e-9);
}

// A label's value as a cell: unquoted where it cannot be mistaken.
std::string Cell(std::string_view value) {
  const std::string quoted = internal::QuoteUtf8(value);
  const bool plain = !value.empty() && value != "-" && quoted.size() == value.size() + 2 &&
                     value.front() != ' ' && value.back() != ' ' && value.front() != '(';
  return plain ? std::string(value) : quoted;
}

std::string Title(const std::string& what, const CpuProfile& profile,
                  const CpuProfileTotals& totals) {
  return absl::StrFormat("%s (%s of %s, %d samples)\n", what,
                         Time(profile, totals.weight, totals.weight),
                         profile.event == "cpu" ? "CPU time" : profile.event, totals.samples);
}

// Appends what a reader of the table above must know.
void AppendNotes(const CpuProfile& profile, const CpuProfileTotals& totals,
                 const TextOptions& options, std::string& out) {
  if (!options.notes) return;
  if (totals.samples < kRoughBelow) {
    absl::StrAppendFormat(&out, "note: only %d samples; below %d, shares are rough\n",
                          totals.samples, kRoughBelow);
  }
  for (const std::string& warning : QualityWarnings(profile)) {
    absl::StrAppend(&out, "warning: ", warning, "\n");
  }
}

// What a row of CpuByLabel is called that is not the labels'.
std::string KindName(SampleKind kind) {
  switch (kind) {
    case SampleKind::kTask:
      return "(no label)";
    case SampleKind::kRuntime:
      return "(runtime)";
    case SampleKind::kForeign:
      return "(foreign threads)";
    case SampleKind::kLost:
      return "(lost)";
    case SampleKind::kOverflow:
      return "(prof map overflow)";
    case SampleKind::kNotSampled:
      return "(not sampled)";
  }
  return "(unknown)";
}

struct LabelRow {
  std::vector<std::string> cells;  // one a key, or one in all: a kind's name
  int64_t weight = 0;
  bool labelled = false;
};

LabelRow LabelRowOf(const LabelSum& sum, size_t cell_width) {
  LabelRow row;
  row.weight = sum.weight;
  row.labelled = sum.Labelled();
  if (!row.labelled) row.cells = {KindName(sum.kind)};
  for (const std::optional<std::string>& value : sum.values) {
    if (row.labelled) {
      row.cells.push_back(value ? internal::ShortenName(Cell(*value), cell_width) : "-");
    }
  }
  return row;
}

// One row for each combination of values, the largest first, and then those of kinds.
std::vector<LabelRow> LabelRows(const CpuProfile& profile,
                                const std::vector<std::string_view>& keys, size_t cell_width) {
  std::map<std::vector<std::string>, LabelRow> by_cells;
  for (const LabelSum& sum : SumByLabel(profile, keys)) {
    LabelRow row = LabelRowOf(sum, cell_width);
    auto [it, is_new] = by_cells.try_emplace(row.cells, row);
    if (!is_new) it->second.weight += row.weight;
  }
  std::vector<LabelRow> rows;
  for (auto& [cells, row] : by_cells) rows.push_back(std::move(row));
  std::stable_sort(rows.begin(), rows.end(), [](const LabelRow& a, const LabelRow& b) {
    return std::pair(a.labelled, a.weight) > std::pair(b.labelled, b.weight);
  });
  return rows;
}

// Sums up the labelled rows after the first `rows_max` in one.
void Fold(std::vector<LabelRow>& rows, size_t rows_max) {
  const size_t labelled = static_cast<size_t>(
      std::count_if(rows.begin(), rows.end(), [](const LabelRow& row) { return row.labelled; }));
  if (labelled <= rows_max) return;
  LabelRow more;
  more.cells = {absl::StrFormat("(%d more)", labelled - rows_max)};
  for (size_t i = rows_max; i < labelled; ++i) more.weight += rows[i].weight;
  rows.erase(rows.begin() + static_cast<ptrdiff_t>(rows_max),
             rows.begin() + static_cast<ptrdiff_t>(labelled));
  rows.insert(rows.begin() + static_cast<ptrdiff_t>(rows_max), more);
}

std::string Bar(int64_t weight, int64_t largest, size_t width) {
  if (weight == 0 || largest == 0) return "";
  const double columns =
      static_cast<double>(weight) / static_cast<double>(largest) * static_cast<double>(width);
  return std::string(std::max<size_t>(1, static_cast<size_t>(std::lround(columns))), '#');
}

// Function names with what they add up to.
struct FunctionRow {
  std::string name;
  int64_t flat = 0;
  int64_t cum = 0;
};

// The names of an entry's frames, leaf first, as TopFunctions counts them.
std::vector<std::string> NamesOf(const CpuProfileEntry& entry, FrameSource& source) {
  std::vector<std::string> names;
  bool leaf = true;
  for (uintptr_t pc : entry.pcs) {
    const uintptr_t address = leaf ? pc : pc - 1;
    leaf = false;
    if (pc == 0) continue;
    if (const std::string_view pseudo = internal::PseudoName(address); !pseudo.empty()) {
      names.emplace_back(pseudo);
      continue;
    }
    const std::vector<Frame>& frames = source.FramesAt(address);
    for (const Frame& frame : frames) {
      if (!frame.function.empty()) names.push_back(frame.function);
    }
    if (frames.empty()) names.push_back(absl::StrFormat("%#x", address));
  }
  if (const std::string_view root = internal::RootName(entry); !root.empty()) {
    names.emplace_back(root);
  }
  return names;
}

std::vector<FunctionRow> FunctionRows(const CpuProfile& profile, FrameSource& frames) {
  absl::flat_hash_map<std::string, FunctionRow> by_name;
  absl::flat_hash_set<std::string> seen;
  for (const CpuProfileEntry& entry : profile.entries) {
    const std::vector<std::string> names = NamesOf(entry, frames);
    if (!names.empty()) by_name[names.front()].flat += entry.weight;
    seen.clear();
    for (const std::string& name : names) {
      if (seen.insert(name).second) by_name[name].cum += entry.weight;
    }
  }
  std::vector<FunctionRow> rows;
  for (auto& [name, row] : by_name) rows.push_back({name, row.flat, row.cum});
  std::sort(rows.begin(), rows.end(), [](const FunctionRow& a, const FunctionRow& b) {
    if (a.flat != b.flat) return a.flat > b.flat;
    if (a.cum != b.cum) return a.cum > b.cum;
    return a.name < b.name;
  });
  return rows;
}

}  // namespace

size_t TerminalWidth(size_t otherwise) {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return otherwise;
  return size.ws_col;
}

std::string CpuByLabel(const CpuProfile& profile, const std::vector<std::string_view>& keys,
                       const TextOptions& options) {
  const CpuProfileTotals totals = TotalsOf(profile);
  const size_t width = std::max(options.width, kWidthMin);
  const size_t cell_width = std::max<size_t>(8, width / 2 / std::max<size_t>(1, keys.size()));
  std::vector<LabelRow> rows = LabelRows(profile, keys, cell_width);
  Fold(rows, options.rows_max);

  std::vector<std::string> names;
  for (std::string_view key : keys) names.push_back(internal::ShortenName(Cell(key), cell_width));
  std::vector<Table::Column> columns;
  for (const std::string& name : names) columns.push_back({name, false});
  columns.insert(columns.end(), {{"time", true}, {"share", true}, {"", false}});
  Table table(std::move(columns));
  int64_t largest = 0;
  for (LabelRow& row : rows) {
    largest = std::max(largest, row.weight);
    row.cells.resize(keys.size());
    row.cells.push_back(Time(profile, row.weight, totals.weight));
    row.cells.push_back(PercentText(row.weight, totals.weight));
    table.AddRow(row.cells);
  }
  const size_t used = table.WidthBeforeLast();
  const size_t room = used < width ? std::min(kBarMax, width - used) : 0;
  for (size_t i = 0; i < rows.size(); ++i) table.SetLast(i, Bar(rows[i].weight, largest, room));

  std::string out =
      Title(absl::StrCat("CPU by ", absl::StrJoin(names, ", ")), profile, totals) + table.Render();
  AppendNotes(profile, totals, options, out);
  return out;
}

std::string TopFunctions(const CpuProfile& profile, FrameSource& frames,
                         const TextOptions& options) {
  const CpuProfileTotals totals = TotalsOf(profile);
  std::vector<FunctionRow> rows;
  internal::OnLargeStack([&] { rows = FunctionRows(profile, frames); });
  const size_t shown = std::min(rows.size(), options.rows_max);

  Table table({{"flat", true},
               {"flat%", true},
               {"sum%", true},
               {"cum", true},
               {"cum%", true},
               {"function", false}});
  int64_t sum = 0;
  for (size_t i = 0; i < shown; ++i) {
    sum += rows[i].flat;
    table.AddRow({Time(profile, rows[i].flat, totals.weight),
                  PercentText(rows[i].flat, totals.weight), PercentText(sum, totals.weight),
                  Time(profile, rows[i].cum, totals.weight),
                  PercentText(rows[i].cum, totals.weight)});
  }
  const size_t width = std::max(options.width, table.WidthBeforeLast() + kNameMin);
  const size_t room = width - table.WidthBeforeLast();
  for (size_t i = 0; i < shown; ++i) table.SetLast(i, internal::ShortenName(rows[i].name, room));

  std::string out = Title("Top functions", profile, totals) + table.Render();
  if (shown < rows.size()) {
    absl::StrAppendFormat(&out, "  ... and %d more functions\n", rows.size() - shown);
  }
  AppendNotes(profile, totals, options, out);
  return out;
}

}  // namespace curg
