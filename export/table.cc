// SPDX-License-Identifier: Apache-2.0
#include "export/table.h"

#include <algorithm>
#include <utility>

namespace curg::internal {

size_t TextColumns(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // not a continuation byte
  }));
}

Table::Table(std::vector<Column> columns) : widths_(columns.size()) {
  std::vector<std::string> header;
  for (Column& column : columns) {
    right_.push_back(column.right);
    header.push_back(std::move(column.header));
  }
  AddRow(std::move(header));
}

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(widths_.size());
  for (size_t i = 0; i < cells.size(); ++i) {
    widths_[i] = std::max(widths_[i], TextColumns(cells[i]));
  }
  rows_.push_back(std::move(cells));
}

void Table::SetLast(size_t row, std::string cell) {
  widths_.back() = std::max(widths_.back(), TextColumns(cell));
  rows_[row + 1].back() = std::move(cell);
}

size_t Table::WidthBeforeLast() const {
  size_t width = 2 * widths_.size();
  for (size_t i = 0; i + 1 < widths_.size(); ++i) width += widths_[i];
  return width;
}

std::string Table::Render() const {
  std::string out;
  for (const std::vector<std::string>& row : rows_) RenderRow(row, out);
  return out;
}

void Table::RenderRow(const std::vector<std::string>& cells, std::string& out) const {
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths_[i] - TextColumns(cells[i]), ' ');
    out += "  ";
    out += right_[i] ? padding + cells[i] : cells[i] + padding;
  }
  out.erase(out.find_last_not_of(' ') + 1);
  out += '\n';
}

}  // namespace curg::internal
