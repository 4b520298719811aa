// SPDX-License-Identifier: Apache-2.0
//
// UrlQuery: what follows the "?" of a URL, taken apart as Go's net/url does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curg {

// Thread-compatible, as any value.
class UrlQuery {
 public:
  UrlQuery() = default;

  // Never fails: a pair that cannot be read (a broken "%" escape, a ";") is left out, the others
  // stay.
  static UrlQuery Parse(std::string_view raw);

  // The first value of `key`; empty when it has none. Valid while the query is.
  std::string_view Get(std::string_view key) const;
  bool Has(std::string_view key) const;
  // All values of `key`, in order. Valid while the query is.
  std::vector<std::string_view> All(std::string_view key) const;

  // The first value as a decimal number, "-5" and "+5" included; none when it is none, is not
  // there, or does not fit.
  std::optional<int64_t> GetInt(std::string_view key) const;

  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

// "%41+b" is "A b" in a query, and "A+b" in a path. None: a broken escape. Thread-safe.
std::optional<std::string> UnescapeQuery(std::string_view text);
std::optional<std::string> UnescapePath(std::string_view text);

// What a person or program may have put into a URL, as text that cannot break out of HTML.
std::string EscapeHtml(std::string_view text);

}  // namespace curg
