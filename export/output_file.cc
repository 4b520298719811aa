// SPDX-License-Identifier: Apache-2.0
#include "export/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace curg::internal {
namespace {

constexpr int kNamesMax = 100;  // tried for the hidden file

absl::Status Error(const std::string& path, absl::string_view what, int error) {
  return absl::ErrnoToStatus(error, absl::StrCat("cannot ", what, " ", path));
}

// Where relative paths are meant to be.
std::filesystem::path WorkingDirectory() {
  std::error_code ignored;
  std::filesystem::path current = std::filesystem::current_path(ignored);
  const char* const bazel = std::getenv("BUILD_WORKING_DIRECTORY");
  if (bazel == nullptr || *bazel != '/') return current;
  for (const std::filesystem::path& component : current) {
    if (component.extension() == ".runfiles") return bazel;
  }
  return current;
}

// Absolute, and where symbolic links lead if there is something already.
std::string Resolve(const std::string& path) {
  const std::string absolute = (WorkingDirectory() / path).string();
  char* const resolved = realpath(absolute.c_str(), nullptr);
  std::string result = resolved != nullptr ? resolved : absolute;
  std::free(resolved);
  return result;
}

// With the slash at its end.
std::string DirectoryOf(const std::string& target) {
  return target.substr(0, target.rfind('/') + 1);
}

// Calls make(name) with names of hidden files beside `target` until one was free; returns what it
// did, 0 or more, and sets `name`. Negative: errno says why not.
template <typename Make>
int MakeBeside(const std::string& target, std::string& name, Make make) {
  for (int i = 0; i < kNamesMax; ++i) {
    name = absl::StrCat(DirectoryOf(target), ".curg.", getpid(), ".", i, ".tmp");
    const int result = make(name.c_str());
    if (result >= 0 || errno != EEXIST) return result;
  }
  return -1;
}

// Gives a file without a name this one; fails if there is something.
int Link(int fd, const char* name) {
  const std::string self = absl::StrCat("/proc/self/fd/", fd);
  return linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

}  // namespace

absl::StatusOr<OutputFile> OutputFile::Open(const std::string& path, Until until) {
  if (path.empty()) return absl::InvalidArgumentError("cannot write: the path is empty");
  OutputFile file(path);
  const std::string target = Resolve(path);
  struct stat status;
  const bool exists = stat(target.c_str(), &status) == 0;
  if (!exists && errno != ENOENT) return Error(path, "create", errno);
  if (exists && S_ISDIR(status.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot write ", path, ": it is a directory"));
  }
  if (exists && !S_ISREG(status.st_mode)) {
    file.fd_ = open(target.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (file.fd_ < 0) return Error(path, "open", errno);
    return file;
  }
  // A rename would replace even a file that says it must not be written.
  if (exists && access(target.c_str(), W_OK) != 0) return Error(path, "write", errno);
  file.target_ = target;
  if (until == Until::kNameless) {
    file.fd_ = open(DirectoryOf(target).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    if (file.fd_ >= 0) return file;
  }
  // Whether the file system or the path is to blame shows now.
  if (absl::Status opened = file.OpenHidden(); !opened.ok()) return opened;
  return file;
}

// Makes the hidden file, with the permissions that a plain open() would give.
absl::Status OutputFile::OpenHidden() {
  fd_ = MakeBeside(target_, hidden_, [](const char* name) {
    return open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  });
  if (fd_ >= 0) return absl::OkStatus();
  hidden_.clear();
  return Error(path_, "create", errno);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      hidden_(std::exchange(other.hidden_, std::string())),
      fd_(std::exchange(other.fd_, -1)) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  if (this == &other) return *this;
  Discard();
  path_ = std::move(other.path_);
  target_ = std::move(other.target_);
  hidden_ = std::exchange(other.hidden_, std::string());
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

OutputFile::~OutputFile() { Discard(); }

void OutputFile::Discard() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  if (!hidden_.empty()) unlink(hidden_.c_str());
  hidden_.clear();
}

absl::Status OutputFile::Write(absl::string_view data) {
  while (!data.empty()) {
    const ssize_t written = write(fd_, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Error(path_, "write", errno);
    data.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// Brings the written content to its place.
absl::Status OutputFile::Publish(absl::string_view data) {
  if (hidden_.empty()) {
    if (Link(fd_, target_.c_str()) == 0) return absl::OkStatus();
    // Only a rename replaces a file, and it needs a name to begin with, if only for an instant.
    const auto link = [this](const char* name) { return Link(fd_, name); };
    if (MakeBeside(target_, hidden_, link) == 0) return Rename();
    // Links by way of /proc may be forbidden, or there is no /proc.
    hidden_.clear();
    close(fd_);
    absl::Status again = OpenHidden();
    if (again.ok()) again = Write(data);
    if (!again.ok()) return again;
  }
  absl::Status closed = Close();
  return closed.ok() ? Rename() : closed;
}

// Some file systems tell of a full disk only now.
absl::Status OutputFile::Close() {
  if (close(std::exchange(fd_, -1)) != 0 && errno != EINTR) return Error(path_, "write", errno);
  return absl::OkStatus();
}

absl::Status OutputFile::Rename() {
  if (std::rename(hidden_.c_str(), target_.c_str()) != 0) return Error(path_, "write", errno);
  hidden_.clear();
  return absl::OkStatus();
}

absl::Status OutputFile::Commit(absl::string_view data) {
  if (fd_ < 0) return absl::FailedPreconditionError(absl::StrCat(path_, " was written already"));
  absl::Status status = Write(data);
  if (status.ok()) status = target_.empty() ? Close() : Publish(data);
  Discard();
  return status;
}

}  // namespace curg::internal
