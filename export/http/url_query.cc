// SPDX-License-Identifier: Apache-2.0
#include "export/http/url_query.h"

#include <charconv>

#include "absl/strings/str_replace.h"

namespace curg {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> Unescape(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(text[i] == '+' && plus_is_space ? ' ' : text[i]);
    }
  }
  return out;
}

}  // namespace

std::optional<std::string> UnescapeQuery(std::string_view text) { return Unescape(text, true); }
std::optional<std::string> UnescapePath(std::string_view text) { return Unescape(text, false); }

UrlQuery UrlQuery::Parse(std::string_view raw) {
  UrlQuery query;
  while (!raw.empty()) {
    const size_t end = raw.find('&');
    const std::string_view pair = raw.substr(0, end);
    raw = end == std::string_view::npos ? std::string_view() : raw.substr(end + 1);
    if (pair.empty() || pair.find(';') != std::string_view::npos) continue;
    const size_t equals = pair.find('=');
    std::optional<std::string> key = UnescapeQuery(pair.substr(0, equals));
    std::optional<std::string> value =
        equals == std::string_view::npos ? "" : UnescapeQuery(pair.substr(equals + 1));
    if (key.has_value() && value.has_value()) {
      query.pairs_.emplace_back(*std::move(key), *std::move(value));
    }
  }
  return query;
}

std::string_view UrlQuery::Get(std::string_view key) const {
  for (const auto& [name, value] : pairs_) {
    if (name == key) return value;
  }
  return {};
}

bool UrlQuery::Has(std::string_view key) const {
  for (const auto& [name, value] : pairs_) {
    if (name == key) return true;
  }
  return false;
}

std::vector<std::string_view> UrlQuery::All(std::string_view key) const {
  std::vector<std::string_view> values;
  for (const auto& [name, value] : pairs_) {
    if (name == key) values.push_back(value);
  }
  return values;
}

std::optional<int64_t> UrlQuery::GetInt(std::string_view key) const {
  std::string_view text = Get(key);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string EscapeHtml(std::string_view text) {
  return absl::StrReplaceAll(
      absl::string_view(text.data(), text.size()),
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&#34;"}, {"'", "&#39;"}});
}

}  // namespace curg
