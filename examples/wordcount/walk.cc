// SPDX-License-Identifier: Apache-2.0
#include "examples/wordcount/walk.h"

#include <dirent.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "examples/wordcount/phase.h"

namespace wordcount {
namespace {

constexpr size_t kExtensionMax = 12;

// The names in a directory but "." and "..", sorted; false when it cannot be read.
bool ReadNames(const std::string& directory, std::vector<std::string>& names) {
  DIR* const stream = opendir(directory.c_str());
  if (stream == nullptr) return false;
  errno = 0;
  while (const dirent* entry = readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  const bool complete = errno == 0;
  closedir(stream);
  std::sort(names.begin(), names.end());
  return complete;
}

}  // namespace

std::string Extension(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return "<none>";
  std::string ext(name.substr(dot + 1));
  const bool plain = !ext.empty() && ext.size() <= kExtensionMax &&
                     std::all_of(ext.begin(), ext.end(), [](char c) {
                       return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '+' ||
                              c == '-' || c == '_';
                     });
  if (!plain) return "<none>";
  absl::AsciiStrToLower(&ext);
  return ext;
}

void Walker::Walk(const std::string& root) {
  std::vector<FoundFile> files;
  {
    PhaseScope phase(Phase::kRead, kDirectoryExt);
    Visit(root, /*is_root=*/true, files);
  }
  while (true) {
    // Outside of the scope: `found_` may park.
    for (FoundFile& file : files) found_(std::move(file));
    if (pending_.empty()) return;
    PhaseScope phase(Phase::kRead, kDirectoryExt);
    const std::string directory = std::move(pending_.back());
    pending_.pop_back();
    files = List(directory);
  }
}

std::vector<FoundFile> Walker::List(const std::string& directory) {
  std::vector<FoundFile> files;
  std::vector<std::string> names;
  if (!ReadNames(directory, names)) ++stats_.unreadable_directories;
  ++stats_.directories;
  const size_t first = pending_.size();
  const char* const separator = directory.back() == '/' ? "" : "/";
  for (const std::string& name : names) {
    Visit(absl::StrCat(directory, separator, name), /*is_root=*/false, files);
  }
  std::reverse(pending_.begin() + static_cast<ptrdiff_t>(first), pending_.end());
  return files;
}

void Walker::Visit(const std::string& path, bool is_root, std::vector<FoundFile>& files) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    CountFailure(path, is_root);
  } else if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
    ++stats_.special;
  } else if (!IsFirstVisit(info)) {
    ++stats_.repeated;
  } else if (S_ISDIR(info.st_mode)) {
    pending_.push_back(path);
  } else {
    files.push_back({path, Extension(path)});
  }
}

void Walker::CountFailure(const std::string& path, bool is_root) {
  const int error = errno;
  struct stat link;
  if (error != ENOENT && error != ELOOP && error != ENOTDIR) {
    ++stats_.unreadable_directories;
  } else if (lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode)) {
    ++stats_.broken_links;
  } else if (is_root) {
    ++stats_.missing;
  }  // else: gone since the directory was read
}

bool Walker::IsFirstVisit(const struct stat& info) {
  return visited_.emplace(info.st_dev, info.st_ino).second;
}

}  // namespace wordcount
