// SPDX-License-Identifier: Apache-2.0
//
// Walker: finds the files below directories, each once, whatever links say.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"

namespace wordcount {

struct FoundFile {
  std::string path;
  std::string ext;  // see Extension
};

// What was met on the way that is no file to be counted.
struct WalkStats {
  int64_t directories = 0;
  int64_t missing = 0;                 // roots that do not exist
  int64_t unreadable_directories = 0;  // and entries that stat refuses
  int64_t broken_links = 0;            // lead nowhere, or in a circle to themselves
  int64_t repeated = 0;                // other names of what was visited already
  int64_t special = 0;                 // pipes, sockets, devices
};

// "h" for "dir/a.tar.H": lower case; "<none>" where there is none that looks like one, so that
// there are few different ones.
std::string Extension(std::string_view path);

// The directories' own label, as they have no extension.
inline constexpr std::string_view kDirectoryExt = "<dir>";

// Follows symbolic links. Directories and files are known by device and inode, so links that lead
// back up end there, and nothing is counted twice. Nothing but directories is ever opened.
// Thread-compatible. Blocks: the thread, in system calls.
class Walker {
 public:
  // `found` is called for each file, in the order of the names in a directory. It may park.
  explicit Walker(std::function<void(FoundFile)> found) : found_(std::move(found)) {}

  // Visits a directory and all below it, or a single file.
  void Walk(const std::string& root);

  const WalkStats& stats() const { return stats_; }

 private:
  // Reads one directory: what is to be visited next goes to pending_, the files to the result.
  std::vector<FoundFile> List(const std::string& directory);
  // Sorts one name into pending_, `files` or stats_.
  void Visit(const std::string& path, bool is_root, std::vector<FoundFile>& files);
  void CountFailure(const std::string& path, bool is_root);
  bool IsFirstVisit(const struct stat& info);

  std::function<void(FoundFile)> found_;
  WalkStats stats_;
  std::vector<std::string> pending_;  // directories, the next one last
  absl::flat_hash_set<std::pair<dev_t, ino_t>> visited_;
};

}  // namespace wordcount
