// SPDX-License-Identifier: Apache-2.0
//
// SampleSource: what makes one thread's SIGPROFs come, and counts what the thread uses. The small
// interface that every sampling engine (cpu_timer.h, perf_event.h) stands behind.
#pragma once

#include <cstdint>
#include <optional>

namespace curg::internal {

// One thread's. Destroying it ends the signals; one that was sent before may still arrive.
// Thread-compatible. Not async-signal-safe. Blocks: nothing but short system calls.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  SampleSource(const SampleSource&) = delete;
  SampleSource& operator=(const SampleSource&) = delete;

  // Lets it fire when its thread has used `first` more, and every `period` from then on. Again: the
  // period changes.
  virtual void Start(int64_t first, int64_t period) = 0;

  // What the thread has used since the source was made; none where that cannot be known any more,
  // since the thread is gone.
  virtual std::optional<int64_t> Count() = 0;

  // True when the thread of a started source is gone, even if its id belongs to another by now.
  virtual bool ThreadGone() = 0;

 protected:
  SampleSource() = default;
};

}  // namespace curg::internal
