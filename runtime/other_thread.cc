// SPDX-License-Identifier: Apache-2.0
#include "runtime/other_thread.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace curg::internal {
namespace {

// The beginning of /proc/self/task/TID/`name`, ended by a NUL. False: it cannot be read.
bool ReadTaskFile(pid_t tid, const char* name, std::span<char> text) {
  std::array<char, 64> path;
  std::snprintf(path.data(), path.size(), "/proc/self/task/%d/%s", tid, name);
  const int file = open(path.data(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t size = read(file, text.data(), text.size() - 1);
  close(file);
  if (size <= 0) return false;
  text[static_cast<size_t>(size)] = '\0';
  return true;
}

}  // namespace

clockid_t ThreadCpuClock(pid_t tid) {
  constexpr clockid_t kPerThread = 4;
  constexpr clockid_t kScheduler = 2;
  return static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3) | kPerThread | kScheduler;
}

std::optional<int64_t> ThreadCpuNs(pid_t tid) {
  timespec time = {};
  if (clock_gettime(ThreadCpuClock(tid), &time) != 0) return std::nullopt;
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

bool ThreadSleeps(pid_t tid) {
  std::array<char, 128> text;
  if (!ReadTaskFile(tid, "stat", text)) return false;
  const char* const after_name = std::strrchr(text.data(), ')');  // the name may hold anything
  return after_name != nullptr && after_name[1] == ' ' &&
         (after_name[2] == 'S' || after_name[2] == 'D');
}

std::optional<Registers> RegistersOfSleeper(pid_t tid) {
  std::array<char, 256> text;
  if (!ReadTaskFile(tid, "syscall", text)) return std::nullopt;
  // Number, six arguments, stack pointer, program counter; or "running".
  uint64_t sp = 0;
  uint64_t pc = 0;
  if (std::sscanf(text.data(), "%*d %*x %*x %*x %*x %*x %*x %" SCNx64 " %" SCNx64, &sp, &pc) != 2) {
    return std::nullopt;
  }
  return Registers{.pc = pc, .sp = sp};
}

bool CopyUnstable(void* to, const void* from, size_t size) {
  const iovec local = {.iov_base = to, .iov_len = size};
  const iovec remote = {.iov_base = const_cast<void*>(from), .iov_len = size};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size);
}

}  // namespace curg::internal
