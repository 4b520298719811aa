// SPDX-License-Identifier: Apache-2.0
#include "examples/wordcount/report.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "export/text.h"

namespace wordcount {
namespace {

constexpr size_t kWordMax = 60;  // bytes shown

// The start of a long word, whole characters only.
std::string Shorten(const std::string& word) {
  if (word.size() <= kWordMax) return word;
  size_t size = kWordMax;
  while (size > 0 && (static_cast<unsigned char>(word[size]) & 0xC0) == 0x80) --size;
  return word.substr(0, size) + "...";
}

}  // namespace

std::string WordReport(const Totals& totals) {
  const Sums& sums = totals.sums;
  std::string out;
  for (const Word& word : totals.top) {
    absl::StrAppendFormat(&out, "%10d  %s\n", word.count, Shorten(word.word));
  }
  absl::StrAppendFormat(&out, "%s%d words, %d different ones, in %d files (%.1f MB read)\n",
                        totals.top.empty() ? "" : "\n", sums.words, totals.distinct_words,
                        sums.files, static_cast<double>(sums.bytes) * 1e-6);
  const std::pair<int64_t, const char*> skipped[] = {
      {sums.binary, "binary files"},
      {sums.unreadable, "unreadable files"},
      {totals.walk.unreadable_directories, "unreadable directories"},
      {totals.walk.missing, "paths that do not exist"},
      {totals.walk.broken_links, "broken links"},
      {sums.special + totals.walk.special, "special files"},
      {totals.walk.repeated, "further names of what was visited"},
  };
  const char* separator = "not counted: ";
  for (const auto& [count, what] : skipped) {
    if (count == 0) continue;
    absl::StrAppend(&out, separator, count, " ", what);
    separator = ", ";
  }
  if (*separator == ',') absl::StrAppend(&out, "\n");
  return out;
}

std::string CpuReport(const curg::CpuProfile& profile, curg::FrameSource& frames) {
  curg::TextOptions options = {.width = curg::TerminalWidth(), .rows_max = 12, .notes = false};
  std::string out = absl::StrCat(curg::CpuByLabel(profile, {"phase"}, options), "\n",
                                 curg::CpuByLabel(profile, {"phase", "ext"}, options), "\n");
  options.notes = true;
  return absl::StrCat(out, curg::TopFunctions(profile, frames, options));
}

std::string ShellQuote(std::string_view text) {
  const bool plain = !text.empty() && text.front() != '-' &&
                     std::all_of(text.begin(), text.end(), [](unsigned char c) {
                       return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                              (c >= 'a' && c <= 'z') || c == '/' || c == '.' || c == '_' ||
                              c == '-' || c == '+' || c == ':' || c == '@' || c == '%' || c == ',';
                     });
  if (plain) return std::string(text);
  return absl::StrCat("'", absl::StrReplaceAll(std::string(text), {{"'", "'\\''"}}), "'");
}

}  // namespace wordcount
