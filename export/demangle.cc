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

// True when `text` ends in the word "operator".
bool EndsInOperator(std::string_view text) {
  return ConsumeSuffix(text, kOperator) && (text.empty() || !IsIdentifier(text.back()));
}

// If the name of an operator begins at `i`, the position after it, with the space that follows it
// in "operator< <int>"; for "operator bool" and "operator new" that after the word. Otherwise `i`.
size_t SkipOperator(std::string_view name, size_t i) {
  const std::string_view rest = name.substr(i);
  if (!rest.starts_with(kOperator) || (i > 0 && IsIdentifier(name[i - 1]))) return i;
  size_t end = kOperator.size();
  if (end < rest.size() && IsIdentifier(rest[end])) return i;
  end += OperatorSymbolLength(rest.substr(end));
  if (end > kOperator.size() && rest.substr(end).starts_with(" <")) ++end;
  return i + end;
}

// The brackets that are open, of which "<" may also be the operator in a template's argument.
class Brackets {
 public:
  bool empty() const { return open_.empty(); }

  void Pass(std::string_view name, size_t i) {
    switch (name[i]) {
      case '<':
      case '(':
      case '[':
      case '{':
        open_ += name[i];
        break;
      case '>':
        if (!empty() && open_.back() == '<' && (i == 0 || name[i - 1] != '-')) open_.pop_back();
        break;
      case ')':
        Close('(');
        break;
      case ']':
        Close('[');
        break;
      case '}':
        Close('{');
        break;
      default:
        break;
    }
  }

 private:
  // Closes what is open within, too.
  void Close(char bracket) {
    const size_t at = open_.rfind(bracket);
    if (at != std::string::npos) open_.resize(at);
  }

  std::string open_;
};

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
      if (rest.empty() || EndsInOperator(rest) || rest.ends_with("::")) return;
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
  Brackets brackets;
  for (size_t i = 0; i < name.size(); ++i) {
    if (const size_t end = SkipOperator(name, i); end != i) {
      // A conversion, or new and delete: the rest is one name.
      if (brackets.empty() && end - i == kOperator.size()) return begin;
      i = end - 1;
      continue;
    }
    brackets.Pass(name, i);
    if (name[i] == ' ' && brackets.empty() && !IsSpaceBeforeQualifier(name, i)) begin = i + 1;
  }
  return brackets.empty() ? begin : 0;
}

// What is between the brackets of the longest outermost "<...>" or "(...)" in `name` that is longer
// than its replacement, as [begin, end); {0, 0} when there is none.
std::pair<size_t, size_t> LongestArguments(std::string_view name) {
  std::pair<size_t, size_t> longest = {0, 0};
  size_t begin = 0;
  Brackets brackets;
  for (size_t i = 0; i < name.size(); ++i) {
    if (const size_t end = SkipOperator(name, i); end != i) {
      i = end - 1;
      continue;
    }
    const bool outside = brackets.empty();
    brackets.Pass(name, i);
    if (outside) begin = i + 1;
    if (outside || !brackets.empty() || (name[i] != '>' && name[i] != ')')) continue;
    const std::string_view arguments = name.substr(begin, i - begin);
    if (arguments.size() > std::max(kEllipsis.size(), longest.second - longest.first) &&
        arguments != "anonymous namespace") {
      longest = {begin, i};
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
  std::string name(linkage_name);
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

std::string ElideArguments(std::string_view name, size_t width) {
  std::string result(name);
  while (Columns(result) > width) {
    const auto [begin, end] = LongestArguments(result);
    if (begin == end) break;
    result.replace(begin, end - begin, kEllipsis);
  }
  return result;
}

std::string ReadableName(std::string_view linkage_name) {
  return ElideArguments(SimplifyName(Demangle(linkage_name)), kReadableColumns);
}

std::string ShortenName(std::string_view name, size_t width) {
  std::string result = ElideArguments(name, width);
  if (Columns(result) <= width) return result;
  if (width <= kEllipsis.size()) return std::string(Head(result, width));
  const size_t kept = width - kEllipsis.size();
  const size_t head = kept / 3;
  const std::string_view front = Head(result, head);
  const std::string_view before_tail = Head(result, Columns(result) - (kept - head));
  return std::string(front) + std::string(kEllipsis) + result.substr(before_tail.size());
}

}  // namespace curg::internal
