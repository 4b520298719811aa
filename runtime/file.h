// SPDX-License-Identifier: Apache-2.0
//
// File: reading and writing files from tasks, without keeping others from running while the disk
// works. What is in the page cache is read at once; everything else happens in Blocking
// (blocking.h).
//
//   absl::StatusOr<std::string> text = curg::ReadFile("/etc/hosts");
#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/deadline.h"

namespace curg {

// An open file; closed with the object. Errors are what the system says, as absl's canonical codes,
// with the call and the path or descriptor. DEADLINE_EXCEEDED, CANCELLED: the deadline passed, or a
// stop was requested, before the system was asked, while the call waited for its turn in Blocking,
// say; nothing was done. Nothing in the world ends a call that is under way.
// Thread-compatible. Works from plain threads, too. All but fd and Release block: the task.
class File {
 public:
  // `flags` and `mode` as for open(2); O_CLOEXEC is added.
  static absl::StatusOr<File> Open(const std::string& path, int flags = O_RDONLY,
                                   mode_t mode = 0666, Deadline deadline = Deadline::Never(),
                                   const std::stop_token& stop = {});

  // Takes the descriptor over.
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File();

  // Reads up to into.size() bytes from the file's position; 0: the end.
  absl::StatusOr<size_t> Read(std::span<char> into, Deadline deadline = Deadline::Never(),
                              const std::stop_token& stop = {});
  // From `offset`; the position stays.
  absl::StatusOr<size_t> ReadAt(std::span<char> into, uint64_t offset,
                                Deadline deadline = Deadline::Never(),
                                const std::stop_token& stop = {});

  // Writes all of `data`, at the file's position or at `offset`. After an error part of it may be
  // written; limits are heard between pieces of a mebibyte, too.
  absl::Status Write(std::string_view data, Deadline deadline = Deadline::Never(),
                     const std::stop_token& stop = {});
  absl::Status WriteAt(std::string_view data, uint64_t offset,
                       Deadline deadline = Deadline::Never(), const std::stop_token& stop = {});

  // Returns when data and size are on the device (fdatasync).
  absl::Status Sync(Deadline deadline = Deadline::Never(), const std::stop_token& stop = {});

  absl::StatusOr<uint64_t> Size(Deadline deadline = Deadline::Never(),
                                const std::stop_token& stop = {});

  // Closes it, and tells what the destructor would not: that earlier writes failed. Without limits,
  // as it must be done.
  absl::Status Close();

  int fd() const { return fd_; }
  // Leaves the descriptor to the caller.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// The whole file. Limits are heard between pieces of a mebibyte.
absl::StatusOr<std::string> ReadFile(const std::string& path, Deadline deadline = Deadline::Never(),
                                     const std::stop_token& stop = {});

// Replaces the file's content, or makes the file. It is written under another name beside it and
// renamed, so that no reader ever sees half of it, and an error or a limit leaves the old one.
absl::Status WriteFile(const std::string& path, std::string_view data,
                       Deadline deadline = Deadline::Never(), const std::stop_token& stop = {});

}  // namespace curg
