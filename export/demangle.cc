// SPDX-License-Identifier: Apache-2.0
#include "export/demangle.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "labels/utf8.h"

namespace curg::internal {
namespace {

constexpr std::string_view kOperator = "operator";
constexpr std::string_view kEllipsis = "...";

bool IsIdentifier(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// The length of the symbol that names an operator, "<<=" say, or 0.
size_t OperatorSymbolLength(std::string_view text) {
  static constexpr std::string_view kSymbols[] = {"<=>", "<<=", ">>=", "->*", "()", "[]", "<<",
                                                  ">>",  "<=",  ">=",  "->",  "<",  ">"};
  for (std::string_view symbol : kSymbols) {
    if (text.starts_with(symbol)) return symbol.size();
  }
  return 0;
}

bool ConsumeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

// "f(int) const [clone .isra.0]" -> "f(int)".
void DropQualifiers(std::string_view& name) {
  for (size_t clone; name.ends_with(']') && (clone = name.rfind(" [")) != name.npos;) {
    name = name.substr(0, clone);
  }
  while (ConsumeSuffix(name, " const") || ConsumeSuffix(name, " volatile") ||
         ConsumeSuffix(name, " &") || ConsumeSuffix(name, " &&") ||
         ConsumeSuffix(name, " noexcept")) {
  }
}

// "f(int)" -> "f". Parentheses inside a parameter list are balanced, whatever else is there.
void DropParameters(std::string_view& name) {
  if (!name.ends_with(')')) return;
  int depth = 0;
  for (size_t i = name.size(); i-- > 0;) {
    if (name[i] == ')') ++depth;
    if (name[i] == '(' && --depth == 0) {
      const std::string_view rest = name.substr(0, i);
      // "operator()" without parameters, or "(anonymous namespace)" alone: not a parameter list.
      if (rest.empty() || rest.ends_with(kOperator) || rest.ends_with("::")) return;
      name = rest;
      return;
    }
  }
}

// True when the space at `i` is within "f() const::{lambda()#1}", not after a return type.
bool IsSpaceBeforeQualifier(std::string_view name, size_t i) {
  if (i == 0 || name[i - 1] != ')') return false;
  const std::string_view rest = name.substr(i + 1);
  return rest.starts_with("const") || rest.starts_with("volatile") || rest.starts_with('&');
}

// Where the name begins behind its return type: after the last space that is outside of all
// brackets. What follows "operator" is taken as a whole ("operator new", "operator<").
size_t EndOfReturnType(std::string_view name) {
  size_t begin = 0;
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (name.substr(i).starts_with(kOperator) && (i == 0 || !IsIdentifier(name[i - 1])) &&
        (i + kOperator.size() == name.size() || !IsIdentifier(name[i + kOperator.size()]))) {
      i += kOperator.size() - 1;
      if (const size_t symbol = OperatorSymbolLength(name.substr(i + 1)); symbol != 0) {
        i += symbol;
      } else if (depth == 0) {
        return begin;
      }
    } else if (c == '<' || c == '(' || c == '{' || c == '[') {
      ++depth;
    } else if (c == '>' || c == ')' || c == '}' || c == ']') {
      if (c == '>' && i > 0 && name[i - 1] == '-') continue;
      --depth;
    } else if (c == ' ' && depth == 0 && !IsSpaceBeforeQualifier(name, i)) {
      begin = i + 1;
    }
  }
  return depth == 0 ? begin : 0;
}

// The longest "<...>" that is outermost in `name` and longer than its replacement, as [begin, end)
// of what is between the brackets; {0, 0} when there is none.
std::pair<size_t, size_t> LongestArguments(std::string_view name) {
  std::pair<size_t, size_t> longest = {0, 0};
  size_t begin = 0;
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name.substr(i).starts_with(kOperator) && (i == 0 || !IsIdentifier(name[i - 1]))) {
      i += kOperator.size() - 1;
      i += OperatorSymbolLength(name.substr(i + 1));
    } else if (name[i] == '<') {
      if (depth++ == 0) begin = i + 1;
    } else if (name[i] == '>' && depth > 0 && name[i - 1] != '-' && --depth == 0) {
      if (i - begin > longest.second - longest.first && i - begin > kEllipsis.size()) {
        longest = {begin, i};
      }
    }
  }
  return longest;
}

size_t Columns(std::string_view text) {
  size_t columns = 0;
  for (char c : text) columns += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return columns;
}

// The first `columns` code points of `text`.
std::string_view Head(std::string_view text, size_t columns) {
  size_t end = 0;
  while (end < text.size() && columns-- > 0) {
    end += std::max<size_t>(1, Utf8Length(text.substr(end)));
  }
  return text.substr(0, end);
}

}  // namespace

std::string Demangle(std::string_view linkage_name) {
  const std::string name(linkage_name);
  if (!linkage_name.starts_with("_Z") && !linkage_name.starts_with("___Z")) return name;
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> demangled(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 && demangled != nullptr ? std::string(demangled.get()) : name;
}

std::string SimplifyName(std::string_view demangled) {
  std::string_view name = demangled;
  DropQualifiers(name);
  DropParameters(name);
  DropQualifiers(name);
  name.remove_prefix(EndOfReturnType(name));
  return std::string(name.empty() ? demangled : name);
}

std::string ShortenName(std::string_view name, size_t width) {
  std::string result(name);
  while (Columns(result) > width) {
    const auto [begin, end] = LongestArguments(result);
    if (begin == end) break;
    result.replace(begin, end - begin, kEllipsis);
  }
  if (Columns(result) <= width) return result;
  if (width <= kEllipsis.size()) return std::string(Head(result, width));
  const size_t kept = width - kEllipsis.size();
  const size_t head = kept / 3;
  const std::string_view front = Head(result, head);
  const std::string_view before_tail = Head(result, Columns(result) - (kept - head));
  return std::string(front) + std::string(kEllipsis) + result.substr(before_tail.size());
}

}  // namespace curg::internal
