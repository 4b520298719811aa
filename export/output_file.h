// SPDX-License-Identifier: Apache-2.0
//
// OutputFile: a file that appears whole or not at all.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace curg::internal {

// Opening shows that the path can be written; nothing is at the path before Commit, and what was
// there stays until then. The content goes to a hidden file beside it, which is renamed by Commit
// and removed otherwise. What is there but is no regular file (a pipe, /dev/stdout) is written to
// directly.
// Thread-compatible. Blocks: the thread.
class OutputFile {
 public:
  // Errors name the path and what the system said: NOT_FOUND for a missing directory,
  // PERMISSION_DENIED, FAILED_PRECONDITION for a directory, INVALID_ARGUMENT for no path, others as
  // absl::ErrnoToStatus has them.
  static absl::StatusOr<OutputFile> Open(const std::string& path);

  // Discards what was written but not committed.
  ~OutputFile();
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;

  // Writes all of `data` and puts the file in its place. Once. After an error there is no trace of
  // it.
  absl::Status Commit(absl::string_view data);

  const std::string& path() const { return path_; }

 private:
  OutputFile(std::string path, std::string temporary, int fd);
  absl::Status Write(absl::string_view data);
  void Discard();

  std::string path_;       // as the caller named it, for messages
  std::string target_;     // where symbolic links lead
  std::string temporary_;  // empty: written to directly
  int fd_ = -1;            // -1: closed
};

}  // namespace curg::internal
