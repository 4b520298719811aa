// SPDX-License-Identifier: Apache-2.0
//
// UnstableReads: reads of what others may be changing, and that is checked afterwards.
#pragma once

#include "runtime/context.h"

#ifdef CURG_TSAN
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);
#endif

namespace curg::internal {

// While it lives, the thread sanitizer overlooks this thread's reads.
struct UnstableReads {
#ifdef CURG_TSAN
  UnstableReads() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~UnstableReads() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
  UnstableReads() {}
#endif
  UnstableReads(const UnstableReads&) = delete;
  UnstableReads& operator=(const UnstableReads&) = delete;
};

}  // namespace curg::internal
