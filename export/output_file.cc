// SPDX-License-Identifier: Apache-2.0
#include "export/output_file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace curg::internal {
namespace {

constexpr int kNamesMax = 100;  // tried for the hidden file

absl::Status Error(const std::string& path, absl::string_view what, int error) {
  return absl::ErrnoToStatus(error, absl::StrCat("cannot ", what, " ", path));
}

// Where symbolic links lead; the path itself when that does not exist yet.
std::string Resolve(const std::string& path) {
  char* const resolved = realpath(path.c_str(), nullptr);
  std::string result = resolved != nullptr ? resolved : path;
  std::free(resolved);
  return result;
}

// Makes a new file with the permissions that a plain open() would give; sets `path` to its name.
int OpenBeside(const std::string& target, std::string& path) {
  const size_t slash = target.rfind('/');
  const size_t name = slash == std::string::npos ? 0 : slash + 1;
  for (int i = 0; i < kNamesMax; ++i) {
    path = absl::StrCat(target.substr(0, name), ".", target.substr(name), ".", getpid(), ".", i,
                        ".tmp");
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

}  // namespace

absl::StatusOr<OutputFile> OutputFile::Open(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("cannot write: the path is empty");
  const std::string target = Resolve(path);
  struct stat status;
  const bool exists = stat(target.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot write ", path, ": it is a directory"));
  }
  if (exists && !S_ISREG(status.st_mode)) {
    const int fd = open(target.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return Error(path, "open", errno);
    return OutputFile(path, "", fd);
  }
  // A rename would replace even a file that says it must not be written.
  if (exists && access(target.c_str(), W_OK) != 0) return Error(path, "write", errno);
  std::string temporary;
  const int fd = OpenBeside(target, temporary);
  if (fd < 0) return Error(path, "create", errno);
  OutputFile file(path, temporary, fd);
  file.target_ = target;
  return file;
}

OutputFile::OutputFile(std::string path, std::string temporary, int fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, std::string())),
      fd_(std::exchange(other.fd_, -1)) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  if (this == &other) return *this;
  Discard();
  path_ = std::move(other.path_);
  target_ = std::move(other.target_);
  temporary_ = std::exchange(other.temporary_, std::string());
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

OutputFile::~OutputFile() { Discard(); }

void OutputFile::Discard() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  if (!temporary_.empty()) unlink(temporary_.c_str());
  temporary_.clear();
}

absl::Status OutputFile::Write(absl::string_view data) {
  while (!data.empty()) {
    const ssize_t written = write(fd_, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Error(path_, "write", errno);
    data.remove_prefix(static_cast<size_t>(written));
  }
  // Some file systems tell of a full disk only now.
  if (close(std::exchange(fd_, -1)) != 0 && errno != EINTR) return Error(path_, "write", errno);
  return absl::OkStatus();
}

absl::Status OutputFile::Commit(absl::string_view data) {
  if (fd_ < 0) return absl::FailedPreconditionError(absl::StrCat(path_, " was written already"));
  absl::Status status = Write(data);
  if (status.ok() && !temporary_.empty()) {
    if (std::rename(temporary_.c_str(), target_.c_str()) != 0) {
      status = Error(path_, "write", errno);
    } else {
      temporary_.clear();
    }
  }
  Discard();
  return status;
}

}  // namespace curg::internal
