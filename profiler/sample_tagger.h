// SPDX-License-Identifier: Apache-2.0
//
// SampleTagger: says more of a sample than its task knew when it was taken, such as which test case
// was running. What a task sees of its own labels stays as it is.
#pragma once

#include <x86intrin.h>

#include <atomic>
#include <cstdint>

#include "runtime/tag.h"

namespace curg::internal {

// The clock of samples (ProfHeader::time): the time-stamp counter.
// Async-signal-safe.
inline uint64_t SampleTime() { return __rdtsc(); }

class SampleTagger {
 public:
  // The tag to count a sample under that was taken at `time` and carried `tag` (may be null).
  // Called by the writer for each sample, a moment after it was taken: keep it cheap, and equal for
  // equal arguments. Must not park.
  virtual TagRef TagOf(const Tag* tag, uint64_t time) = 0;

 protected:
  ~SampleTagger() = default;
};

// The process's one; null: none. It must live for ever once it was set.
// Thread-safe.
inline std::atomic<SampleTagger*>& TheSampleTagger() {
  static constinit std::atomic<SampleTagger*> tagger{nullptr};
  return tagger;
}

}  // namespace curg::internal
