// SPDX-License-Identifier: Apache-2.0
//
// OutputFile: a file that appears whole or not at all.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace curg::internal {

// Opening shows that the path can be written; nothing is at the path before Commit, and what was
// there stays until then. Until then the content has no name at all, so that nobody sees it and a
// crash leaves nothing behind. Where the file system has no files without names, it is a hidden
// file beside the path, which is renamed by Commit and removed otherwise. What is there but is no
// regular file (a pipe, /dev/stdout) is written to directly.
//
// A relative path is below the current directory at the time of Open. But `bazel run` starts
// programs in their runfiles directory, where nobody looks for what they write: there it is below
// the directory in which bazel was called (BUILD_WORKING_DIRECTORY).
// Thread-compatible. Blocks: the thread.
class OutputFile {
 public:
  // What the content is until Commit.
  enum class Until {
    kNameless,  // if the file system can
    kHidden,    // for tests of those that cannot
  };

  // Errors name the path and what the system said: NOT_FOUND for a missing directory,
  // PERMISSION_DENIED, FAILED_PRECONDITION for a directory, INVALID_ARGUMENT for no path, others as
  // absl::ErrnoToStatus has them.
  static absl::StatusOr<OutputFile> Open(const std::string& path, Until until = Until::kNameless);

  // Discards what was written but not committed.
  ~OutputFile();
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;

  // Writes all of `data` and puts the file in its place. Once. After an error there is no trace of
  // it.
  absl::Status Commit(absl::string_view data);

  const std::string& path() const { return path_; }

 private:
  explicit OutputFile(std::string path) : path_(std::move(path)) {}
  absl::Status OpenHidden();
  absl::Status Write(absl::string_view data);
  absl::Status Publish(absl::string_view data);
  absl::Status Close();
  absl::Status Rename();
  void Discard();

  std::string path_;    // as the caller named it, for messages
  std::string target_;  // absolute, where symbolic links lead; empty: written to directly
  std::string hidden_;  // beside the target; empty: the content has no name
  int fd_ = -1;         // -1: closed
};

}  // namespace curg::internal
