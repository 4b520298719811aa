// SPDX-License-Identifier: Apache-2.0
//
// The reference unwinder: libunwind, for tests to compare with and for use outside handlers.
//
// It is opened with dlopen and RTLD_LOCAL, never linked: it exports _Unwind_Resume, backtrace and
// the rest under libgcc's and libc's names, and a program linked with it throws its exceptions
// through it. This is the only file that includes its header.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

namespace curg::internal {

class LibUnwind {
 public:
  // Opens the library on the first call; there is one for the process. kNotFound: it is not
  // installed, or not one that has what is needed.
  // Thread-safe. Not async-signal-safe: loads a library. Blocks: the thread.
  static absl::StatusOr<const LibUnwind*> Open();

  LibUnwind(const LibUnwind&) = delete;
  LibUnwind& operator=(const LibUnwind&) = delete;

  // Writes the program counters of the walk from `context`, leaf first, return addresses as they
  // are; returns how many. Ends where libunwind ends, which may be beyond the stack: it knows no
  // bounds, and may read any address.
  // About 540 ns a frame, with two system calls. Async-signal-safe only in so far as nobody holds
  // the dynamic loader's lock (it takes it) and the memory it decides to read is there; hence a
  // reference, not the profiler's unwinder.
  size_t Walk(const ucontext_t& context, std::span<uintptr_t> pcs) const noexcept;

 private:
  struct Functions;
  explicit LibUnwind(const Functions& functions) : functions_(functions) {}
  static absl::StatusOr<const LibUnwind*> OpenOnce();

  const Functions& functions_;
};

}  // namespace curg::internal
