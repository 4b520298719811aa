// SPDX-License-Identifier: Apache-2.0
//
// Table: aligned columns of text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace curg::internal {

// Columns that `text` takes in a terminal, taking each code point for one.
size_t TextColumns(std::string_view text);

// Thread-compatible.
class Table {
 public:
  struct Column {
    std::string header;
    bool right = false;  // aligned to the right
  };

  explicit Table(std::vector<Column> columns);

  // Cells that are missing are empty.
  void AddRow(std::vector<std::string> cells);

  // Replaces the last cell of the `row`th row added, counting from 0.
  void SetLast(size_t row, std::string cell);

  // Columns that a line takes without its last cell: two before each cell, and the cells' own.
  size_t WidthBeforeLast() const;

  // Header and rows, each line ending in a newline and in nothing blank before it.
  std::string Render() const;

 private:
  void RenderRow(const std::vector<std::string>& cells, std::string& out) const;

  std::vector<bool> right_;
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> rows_;  // the header first
};

}  // namespace curg::internal
