// SPDX-License-Identifier: Apache-2.0
#include "labels/utf8.h"

#include <cstdint>

#include "absl/strings/str_format.h"

namespace curg::internal {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// What begins a code point: its length, and what its second byte may be (the Unicode standard's
// table 3-7, which leaves out overlong forms, surrogates and all beyond U+10FFFF).
struct Lead {
  size_t length;
  uint8_t second_min;
  uint8_t second_max;
};

Lead ClassifyLead(uint8_t c) {
  if (c < 0x80) return {1, 0, 0};
  if (c < 0xC2) return {0, 0, 0};
  if (c < 0xE0) return {2, 0x80, 0xBF};
  if (c == 0xE0) return {3, 0xA0, 0xBF};
  if (c == 0xED) return {3, 0x80, 0x9F};
  if (c < 0xF0) return {3, 0x80, 0xBF};
  if (c == 0xF0) return {4, 0x90, 0xBF};
  if (c < 0xF4) return {4, 0x80, 0xBF};
  if (c == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// The escape of an ASCII character that has a short one, or 0.
char ShortEscape(char c) {
  switch (c) {
    case '"':
    case '\\':
      return c;
    case '\a':
      return 'a';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    case '\v':
      return 'v';
    default:
      return 0;
  }
}

}  // namespace

size_t Utf8Length(std::string_view text) {
  if (text.empty()) return 0;
  const Lead lead = ClassifyLead(static_cast<uint8_t>(text[0]));
  if (lead.length <= 1) return lead.length;
  if (text.size() < lead.length) return 0;
  const uint8_t second = static_cast<uint8_t>(text[1]);
  if (second < lead.second_min || second > lead.second_max) return 0;
  for (size_t i = 2; i < lead.length; ++i) {
    if (!IsContinuation(text[i])) return 0;
  }
  return lead.length;
}

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string RepairUtf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    result.append(length == 0 ? kReplacement : text.substr(0, length));
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

std::string QuoteUtf8(std::string_view text) {
  std::string result = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (const char escape = ShortEscape(c); escape != 0) {
      result += {'\\', escape};
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) {
      absl::StrAppendFormat(&result, "\\x%02x", static_cast<uint8_t>(c));
    } else if (c == '\xC2' && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) < 0xA0) {
      absl::StrAppendFormat(&result, "\\u%04x", static_cast<uint8_t>(text[++i]));
    } else {
      result += c;
    }
  }
  result += '"';
  return result;
}

}  // namespace curg::internal
