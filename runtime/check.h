// SPDX-License-Identifier: Apache-2.0
//
// CURG_CHECK: states what must hold, in every build. CURG_DCHECK: the same in debug builds, for hot
// paths. The message says what the caller should do, not what failed.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace curg::internal {

// Prints one line to standard error and aborts. Not async-signal-safe: uses stdio.
[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition,
                                     const char* advice) {
  std::fprintf(stderr, "%s:%d: check failed: %s: %s\n", file, line, condition, advice);
  std::abort();
}

}  // namespace curg::internal

#define CURG_CHECK(condition, advice)                                        \
  do {                                                                       \
    if (!(condition)) [[unlikely]]                                           \
      ::curg::internal::CheckFailed(__FILE__, __LINE__, #condition, advice); \
  } while (false)

#ifdef NDEBUG
#define CURG_DCHECK(condition, advice) \
  do {                                 \
  } while (false && (condition))
#else
#define CURG_DCHECK(condition, advice) CURG_CHECK(condition, advice)
#endif
