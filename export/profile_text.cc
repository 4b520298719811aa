// SPDX-License-Identifier: Apache-2.0
#include "export/profile_text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "export/demangle.h"
#include "export/table.h"
#include "labels/utf8.h"

namespace curg {
namespace {

using internal::Table;

constexpr size_t kNameMin = 20;  // columns, however narrow the terminal
constexpr int kTreeDepthMax = 200;

int64_t ValueOf(const ProfileView::Sample& sample, int type) {
  return sample.values[static_cast<size_t>(type)];
}

const ProfileView::ValueType& TypeOf(const ProfileView& view, int type) {
  return view.types()[static_cast<size_t>(type)];
}

std::string Share(int64_t part, int64_t whole) {
  const double share = whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  return absl::StrFormat("%.1f%%", 100 * share);
}

// What shares are of: all of it, or, of a difference, all that changed.
int64_t Whole(const ProfileView& view, int type) {
  int64_t whole = 0;
  for (const ProfileView::Sample& sample : view.samples()) whole += std::abs(ValueOf(sample, type));
  return whole;
}

std::string Title(const ProfileView& view, int type, std::string_view what) {
  const ProfileView::ValueType& value = TypeOf(view, type);
  std::string title = absl::StrCat(absl::string_view(what.data(), what.size()), " (", value.type,
                                   ": ", ValueText(view.Total(type), value.unit));
  if (view.duration_ns() > 0) {
    absl::StrAppend(&title, " in ", ValueText(view.duration_ns(), "nanoseconds"));
  }
  return title + ")\n";
}

struct Row {
  std::string name;
  int64_t flat = 0;
  int64_t cum = 0;
};

// Those with most in themselves first, whatever its sign.
std::vector<Row> FunctionRows(const ProfileView& view, int type) {
  std::vector<Row> rows(view.names().size());
  std::vector<size_t> seen_in(rows.size(), SIZE_MAX);
  for (size_t i = 0; i < view.samples().size(); ++i) {
    const ProfileView::Sample& sample = view.samples()[i];
    const int64_t value = ValueOf(sample, type);
    if (!sample.stack.empty()) rows[sample.stack.back()].flat += value;
    for (const uint32_t name : sample.stack) {
      if (std::exchange(seen_in[name], i) != i) rows[name].cum += value;
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) rows[i].name = view.names()[i];
  std::erase_if(rows, [](const Row& row) { return row.flat == 0 && row.cum == 0; });
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return std::tuple(-std::abs(a.flat), -std::abs(a.cum), std::string_view(a.name)) <
           std::tuple(-std::abs(b.flat), -std::abs(b.cum), std::string_view(b.name));
  });
  return rows;
}

// A label's text, which may be anything, as it can stand in a terminal.
std::string Printable(const std::string& text) {
  const std::string valid = internal::RepairUtf8(text);
  const std::string quoted = internal::QuoteUtf8(valid);
  return !valid.empty() && quoted.size() == valid.size() + 2 ? valid : quoted;
}

// A call tree by names.
struct Node {
  int64_t cum = 0;
  std::map<uint32_t, std::unique_ptr<Node>> children;
};

Node TreeOf(const ProfileView& view, int type) {
  Node root;
  for (const ProfileView::Sample& sample : view.samples()) {
    Node* node = &root;
    node->cum += ValueOf(sample, type);
    int depth = 0;
    for (const uint32_t name : sample.stack) {
      if (++depth > kTreeDepthMax) break;
      std::unique_ptr<Node>& child = node->children[name];
      if (child == nullptr) child = std::make_unique<Node>();
      node = child.get();
      node->cum += ValueOf(sample, type);
    }
  }
  return root;
}

class TreePrinter {
 public:
  TreePrinter(const ProfileView& view, const ProfileTextOptions& options)
      : view_(view),
        options_(options),
        unit_(TypeOf(view, options.type).unit),
        whole_(Whole(view, options.type)) {}

  std::string Print(const Node& root) {
    PrintChildren(root, "");
    return std::move(out_);
  }

 private:
  void PrintChildren(const Node& node, const std::string& indent) {
    std::vector<std::pair<int64_t, uint32_t>> order;
    int64_t rest = 0;
    int more = 0;
    for (const auto& [name, child] : node.children) {
      if (IsLarge(child->cum)) {
        order.emplace_back(-std::abs(child->cum), name);
      } else {
        rest += child->cum;
        ++more;
      }
    }
    std::sort(order.begin(), order.end());
    const bool has_rest = IsLarge(rest);
    for (size_t i = 0; i < order.size(); ++i) {
      const bool last = i + 1 == order.size() && !has_rest;
      const Node& child = *node.children.at(order[i].second);
      PrintLine(child.cum, indent + (last ? "└ " : "├ "), view_.names()[order[i].second]);
      PrintChildren(child, indent + (last ? "  " : "│ "));
    }
    if (has_rest) PrintLine(rest, indent + "└ ", absl::StrCat("... ", more, " smaller ones"));
  }

  bool IsLarge(int64_t value) const {
    return value != 0 &&
           static_cast<double>(std::abs(value)) >= options_.share_min * static_cast<double>(whole_);
  }

  void PrintLine(int64_t value, const std::string& indent, const std::string& name) {
    const std::string head =
        absl::StrFormat("%8s %6s  %s", ValueText(value, unit_), Share(value, whole_), indent);
    const size_t used = internal::TextColumns(head);
    const size_t room = std::max(used + kNameMin, options_.width) - used;
    absl::StrAppend(&out_, head, internal::ShortenName(name, room), "\n");
  }

  const ProfileView& view_;
  const ProfileTextOptions& options_;
  const std::string& unit_;
  const int64_t whole_;
  std::string out_;
};

}  // namespace

std::string ValueText(int64_t value, const std::string& unit) {
  const double number = static_cast<double>(value);
  const double size = std::abs(number);
  if (unit == "nanoseconds") {
    if (value == 0) return "0";
    if (size >= 1e9) return absl::StrFormat("%.2fs", number * 1e-9);
    if (size >= 1e6) return absl::StrFormat("%.0fms", number * 1e-6);
    if (size >= 1e3) return absl::StrFormat("%.0fus", number * 1e-3);
    return absl::StrCat(value, "ns");
  }
  if (unit == "bytes") {
    if (size >= 1e9) return absl::StrFormat("%.2fGB", number * 1e-9);
    if (size >= 1e6) return absl::StrFormat("%.1fMB", number * 1e-6);
    if (size >= 1e3) return absl::StrFormat("%.0fkB", number * 1e-3);
    return absl::StrCat(value, "B");
  }
  return absl::StrCat(value);
}

std::string ProfileTop(const ProfileView& view, const ProfileTextOptions& options) {
  const std::vector<Row> rows = FunctionRows(view, options.type);
  const int64_t whole = Whole(view, options.type);
  const std::string& unit = TypeOf(view, options.type).unit;
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
    table.AddRow({ValueText(rows[i].flat, unit), Share(rows[i].flat, whole), Share(sum, whole),
                  ValueText(rows[i].cum, unit), Share(rows[i].cum, whole)});
  }
  const size_t used = table.WidthBeforeLast();
  const size_t room = std::max(options.width, used + kNameMin) - used;
  for (size_t i = 0; i < shown; ++i) table.SetLast(i, internal::ShortenName(rows[i].name, room));
  std::string out = Title(view, options.type, "Top functions") + table.Render();
  if (shown < rows.size()) {
    absl::StrAppendFormat(&out, "  ... and %d more functions\n", rows.size() - shown);
  }
  return out;
}

std::string ProfileTags(const ProfileView& view, const ProfileTextOptions& options) {
  std::map<std::string, absl::flat_hash_map<std::string, int64_t>> keys;
  for (const ProfileView::Sample& sample : view.samples()) {
    for (const auto& [key, value] : sample.labels)
      keys[key][value] += ValueOf(sample, options.type);
  }
  const int64_t whole = Whole(view, options.type);
  const std::string& unit = TypeOf(view, options.type).unit;
  std::string out = Title(view, options.type, "Labels");
  if (keys.empty()) out += "no sample has labels\n";
  for (const auto& [key, values] : keys) {
    std::vector<std::pair<std::string, int64_t>> rows(values.begin(), values.end());
    std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
      return std::tuple(-std::abs(a.second), std::string_view(a.first)) <
             std::tuple(-std::abs(b.second), std::string_view(b.first));
    });
    int64_t labelled = 0;
    for (const auto& [value, amount] : rows) labelled += amount;
    Table table({{ValueText(labelled, unit), true},
                 {Share(labelled, whole), true},
                 {Printable(key), false}});
    for (size_t i = 0; i < std::min(rows.size(), options.rows_max); ++i) {
      table.AddRow({ValueText(rows[i].second, unit), Share(rows[i].second, whole),
                    Printable(rows[i].first)});
    }
    absl::StrAppend(&out, "\n", table.Render());
    if (rows.size() > options.rows_max) {
      absl::StrAppendFormat(&out, "  ... and %d more values\n", rows.size() - options.rows_max);
    }
  }
  return out;
}

std::string ProfileTree(const ProfileView& view, const ProfileTextOptions& options) {
  return Title(view, options.type, "Call tree") +
         TreePrinter(view, options).Print(TreeOf(view, options.type));
}

std::string ProfileFolded(const ProfileView& view, int type) {
  absl::flat_hash_map<std::string, int64_t> stacks;
  for (const ProfileView::Sample& sample : view.samples()) {
    std::string line;
    for (const uint32_t name : sample.stack) {
      if (!line.empty()) line.push_back(';');
      for (const char c : view.names()[name]) {
        line.push_back(c == ';' ? ':' : c == '\n' || c == '\r' ? ' ' : c);
      }
    }
    stacks[line] += ValueOf(sample, type);
  }
  std::vector<std::pair<std::string, int64_t>> sorted(stacks.begin(), stacks.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return std::tie(b.second, a.first) < std::tie(a.second, b.first);
  });
  std::string text;
  for (const auto& [stack, value] : sorted) {
    if (value != 0) absl::StrAppend(&text, stack, " ", value, "\n");
  }
  return text;
}

}  // namespace curg
