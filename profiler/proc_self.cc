// SPDX-License-Identifier: Apache-2.0
#include "profiler/proc_self.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace curg::internal {
namespace {

// Takes characters up to `end` off the front of `text`; what follows `end` stays.
absl::string_view TakeUntil(absl::string_view& text, char end) {
  const size_t length = std::min(text.find(end), text.size());
  const absl::string_view taken = text.substr(0, length);
  text.remove_prefix(std::min(length + 1, text.size()));
  return taken;
}

bool ParseHex(absl::string_view text, uintptr_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc() && end == text.data() + text.size();
}

// "55d0a2a00000-55d0a2a21000 r-xp 00002000 08:01 1835    /usr/bin/with space (deleted)"
bool ParseLine(absl::string_view line, ProcMapping& mapping) {
  if (!ParseHex(TakeUntil(line, '-'), mapping.start)) return false;
  if (!ParseHex(TakeUntil(line, ' '), mapping.limit)) return false;
  const absl::string_view permissions = TakeUntil(line, ' ');
  if (permissions.size() < 4) return false;
  mapping.executable = permissions[2] == 'x';
  if (!ParseHex(TakeUntil(line, ' '), mapping.offset)) return false;
  TakeUntil(line, ' ');  // device
  TakeUntil(line, ' ');  // inode
  mapping.path = std::string(absl::StripLeadingAsciiWhitespace(line));
  return mapping.start < mapping.limit;
}

absl::StatusOr<std::string> ReadFile(const char* path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return absl::ErrnoToStatus(errno, path);
  std::string text;
  for (;;) {
    const size_t size = text.size();
    constexpr size_t kStep = 32 << 10;
    text.resize(size + kStep);
    const ssize_t got = read(file, text.data() + size, kStep);
    const int error = errno;
    text.resize(size + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got > 0 || (got < 0 && error == EINTR)) continue;
    close(file);
    if (got < 0) return absl::ErrnoToStatus(error, path);
    return text;
  }
}

}  // namespace

std::vector<ProcMapping> ParseProcMaps(absl::string_view text) {
  std::vector<ProcMapping> mappings;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    ProcMapping mapping;
    if (ParseLine(line, mapping)) mappings.push_back(std::move(mapping));
  }
  return mappings;
}

absl::StatusOr<std::vector<ProcMapping>> ReadProcMaps() {
  absl::StatusOr<std::string> text = ReadFile("/proc/self/maps");
  if (!text.ok()) return text.status();
  return ParseProcMaps(*text);
}

// "1234567 8910 42\n": time on a CPU, time waited for one, how often.
std::optional<int64_t> ReadThreadSwitches(pid_t tid) {
  const absl::StatusOr<std::string> text =
      ReadFile(absl::StrCat("/proc/self/task/", tid, "/schedstat").c_str());
  if (!text.ok()) return std::nullopt;
  const std::vector<absl::string_view> fields = absl::StrSplit(*text, absl::ByAnyChar(" \n"));
  int64_t switches = 0;
  if (fields.size() < 3 || !absl::SimpleAtoi(fields[2], &switches)) return std::nullopt;
  return switches;
}

absl::StatusOr<std::vector<pid_t>> ReadThreadIds() {
  constexpr char kTasks[] = "/proc/self/task";
  DIR* const directory = opendir(kTasks);
  if (directory == nullptr) return absl::ErrnoToStatus(errno, kTasks);
  std::vector<pid_t> ids;
  while (const dirent* entry = readdir(directory)) {
    pid_t id = 0;
    if (absl::SimpleAtoi(entry->d_name, &id)) ids.push_back(id);
  }
  closedir(directory);
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace curg::internal
