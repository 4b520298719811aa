// SPDX-License-Identifier: Apache-2.0
#include "runtime/file.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "absl/strings/str_cat.h"
#include "runtime/blocking.h"
#include "runtime/limit_error.h"
#include "runtime/wait_limits.h"

namespace curg {
namespace {

using internal::LimitError;
using internal::WaitLimits;

constexpr size_t kPiece = size_t{1} << 20;
constexpr off_t kAtPosition = -1;

struct Outcome {
  ssize_t value;
  int error;
};

// Calls `call` in Blocking, again while signals interrupt it. The error is read there, where it
// arose.
template <typename Call>
absl::StatusOr<size_t> CheckedCall(absl::string_view what, const WaitLimits& limits, Call call) {
  const auto retry = [&call]() -> Outcome {
    while (true) {
      const ssize_t value = call();
      if (value >= 0 || errno != EINTR) return {value, value < 0 ? errno : 0};
    }
  };
  const Joined<Outcome> outcome = BlockingUntil(limits.deadline, retry, *limits.stop);
  if (!outcome) return LimitError(outcome.status, what);
  if (outcome.value->value < 0) return absl::ErrnoToStatus(outcome.value->error, what);
  return static_cast<size_t>(outcome.value->value);
}

std::string Call(absl::string_view name, int fd) {
  return absl::StrCat(name, " of descriptor ", fd);
}

// What needs no waiting, if the file system can say so: pages in memory, and the end of the file.
std::optional<size_t> ReadCached(int fd, std::span<char> into, off_t offset) {
  iovec piece = {.iov_base = into.data(), .iov_len = into.size()};
  const ssize_t got = preadv2(fd, &piece, 1, offset, RWF_NOWAIT);
  if (got < 0) return std::nullopt;  // EAGAIN, EOPNOTSUPP; what is a true error comes again
  return static_cast<size_t>(got);
}

absl::StatusOr<size_t> ReadSome(int fd, std::span<char> into, off_t offset,
                                const WaitLimits& limits) {
  if (const WaitStatus how = limits.Reached(); how != WaitStatus::kOk)
    return LimitError(how, "read");
  if (const auto got = ReadCached(fd, into, offset)) return *got;
  return CheckedCall(Call("read", fd), limits, [&] {
    return offset == kAtPosition ? read(fd, into.data(), into.size())
                                 : pread(fd, into.data(), into.size(), offset);
  });
}

absl::Status WriteAll(int fd, std::string_view data, off_t offset, const WaitLimits& limits) {
  while (!data.empty()) {
    const std::string_view piece = data.substr(0, kPiece);
    const auto written = CheckedCall(Call("write", fd), limits, [&] {
      return offset == kAtPosition ? write(fd, piece.data(), piece.size())
                                   : pwrite(fd, piece.data(), piece.size(), offset);
    });
    if (!written.ok()) return written.status();
    data.remove_prefix(*written);
    if (offset != kAtPosition) offset += static_cast<off_t>(*written);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<File> File::Open(const std::string& path, int flags, mode_t mode, Deadline deadline,
                                const std::stop_token& stop) {
  const auto fd = CheckedCall(absl::StrCat("open of ", path), {deadline, &stop},
                              [&] { return ssize_t{open(path.c_str(), flags | O_CLOEXEC, mode)}; });
  if (!fd.ok()) return fd.status();
  return File(static_cast<int>(*fd));
}

File::~File() {
  if (fd_ >= 0) Blocking([this] { close(fd_); });
}

absl::StatusOr<size_t> File::Read(std::span<char> into, Deadline deadline,
                                  const std::stop_token& stop) {
  return ReadSome(fd_, into, kAtPosition, {deadline, &stop});
}

absl::StatusOr<size_t> File::ReadAt(std::span<char> into, uint64_t offset, Deadline deadline,
                                    const std::stop_token& stop) {
  return ReadSome(fd_, into, static_cast<off_t>(offset), {deadline, &stop});
}

absl::Status File::Write(std::string_view data, Deadline deadline, const std::stop_token& stop) {
  return WriteAll(fd_, data, kAtPosition, {deadline, &stop});
}

absl::Status File::WriteAt(std::string_view data, uint64_t offset, Deadline deadline,
                           const std::stop_token& stop) {
  return WriteAll(fd_, data, static_cast<off_t>(offset), {deadline, &stop});
}

absl::Status File::Sync(Deadline deadline, const std::stop_token& stop) {
  return CheckedCall(Call("fdatasync", fd_), {deadline, &stop},
                     [&] { return ssize_t{fdatasync(fd_)}; })
      .status();
}

absl::StatusOr<uint64_t> File::Size(Deadline deadline, const std::stop_token& stop) {
  struct stat about = {};
  const auto done = CheckedCall(Call("fstat", fd_), {deadline, &stop},
                                [&] { return ssize_t{fstat(fd_, &about)}; });
  if (!done.ok()) return done.status();
  return static_cast<uint64_t>(about.st_size);
}

// EINTR: the descriptor is gone all the same, on Linux.
absl::Status File::Close() {
  const int fd = Release();
  const int error = Blocking([fd] { return close(fd) == 0 || errno == EINTR ? 0 : errno; });
  return error == 0 ? absl::OkStatus() : absl::ErrnoToStatus(error, Call("close", fd));
}

absl::StatusOr<std::string> ReadFile(const std::string& path, Deadline deadline,
                                     const std::stop_token& stop) {
  absl::StatusOr<File> file = File::Open(path, O_RDONLY, 0, deadline, stop);
  if (!file.ok()) return file.status();
  const absl::StatusOr<uint64_t> size = file->Size(deadline, stop);
  if (!size.ok()) return size.status();
  std::string text;
  size_t used = 0;
  // One byte more than there should be, to meet the end; what says that it is empty (/proc) is read
  // by pieces.
  text.resize(*size > 0 ? *size + 1 : 4096);
  while (true) {
    const auto got = file->Read(std::span(text).subspan(used, std::min(text.size() - used, kPiece)),
                                deadline, stop);
    if (!got.ok())
      return absl::Status(got.status().code(), absl::StrCat(path, ": ", got.status().message()));
    if (*got == 0) break;
    used += *got;
    if (used == text.size()) text.resize(2 * used);
  }
  text.resize(used);
  return text;
}

absl::Status WriteFile(const std::string& path, std::string_view data, Deadline deadline,
                       const std::stop_token& stop) {
  static std::atomic<uint64_t> number{0};
  const std::string draft = absl::StrCat(path, ".", getpid(), ".", number.fetch_add(1), ".tmp");
  absl::StatusOr<File> file = File::Open(draft, O_WRONLY | O_CREAT | O_EXCL, 0666, deadline, stop);
  if (!file.ok()) return file.status();
  absl::Status status = file->Write(data, deadline, stop);
  if (status.ok()) status = file->Close();
  if (status.ok()) {
    status = CheckedCall(absl::StrCat("rename to ", path), {deadline, &stop}, [&] {
               return ssize_t{rename(draft.c_str(), path.c_str())};
             }).status();
  }
  if (!status.ok()) Blocking([&] { unlink(draft.c_str()); });
  return status;
}

}  // namespace curg
