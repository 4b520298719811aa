// SPDX-License-Identifier: Apache-2.0
//
// What the profiler's benchmark found: rows of name, value, unit, target, and whether it holds.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace curg {

// The values that are good enough.
struct Bound {
  double at_least = -std::numeric_limits<double>::infinity();
  double at_most = std::numeric_limits<double>::infinity();

  static Bound None() { return {}; }
  static Bound AtLeast(double value) { return {.at_least = value}; }
  static Bound AtMost(double value) { return {.at_most = value}; }
  static Bound Between(double low, double high) { return {low, high}; }

  bool Holds(double value) const { return value >= at_least && value <= at_most; }
  std::string ToString() const;  // ">= 0.99", "0.99 - 1.01"; "" for None
};

// Thread-compatible.
class ProfilerReport {
 public:
  // Adds a row, and says so on standard error.
  void Add(std::string_view name, double value, std::string_view unit, const Bound& target);

  // A row that more than the value decides: whether it holds (unknown: empty), and why.
  void AddWithVerdict(std::string_view name, double value, std::string_view unit,
                      std::string_view target, std::optional<bool> holds, std::string_view verdict);

  // A row that could not be measured here.
  void AddMissing(std::string_view name, std::string_view unit, const Bound& target,
                  std::string_view why);

  // A line below the table.
  void Note(std::string note);

  // What is being done, on standard error.
  static void Progress(std::string_view what);

  std::string Table() const;

  // [{"name", "value", "unit", "target", "holds"}], where value and holds are null if unknown.
  std::string Json() const;

  // Whether no row misses its target.
  bool AllHold() const;

 private:
  struct Row {
    std::string name;
    std::optional<double> value = {};
    std::string unit;
    std::string target;
    std::optional<bool> holds = {};
    std::string verdict;
  };

  void AddRow(Row row);

  std::vector<Row> rows_;
  std::vector<std::string> notes_;
};

}  // namespace curg
