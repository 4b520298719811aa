// SPDX-License-Identifier: Apache-2.0
//
// TestCaseTagger: labels each sample with the test case that was running when it was taken.
//
// By time, not by setting labels on the thread that runs the case: so threads of any kind are
// covered, tasks that were given labels of their own, and the runtime's own work; and a test that
// looks at its labels finds what it finds without a profile.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "labels/label_set.h"
#include "profiler/sample_tagger.h"

namespace curg::internal {

// Thread-safe.
class TestCaseTagger final : public SampleTagger {
 public:
  // From `time` (SampleTime()) on, samples get `labels` beside their own, which win where keys are
  // equal. Times never go back.
  void Begin(uint64_t time, Labels labels);

  TagRef TagOf(const Tag* tag, uint64_t time) override;

 private:
  struct Span {
    uint64_t begin = 0;
    Labels labels;
  };

  std::mutex lock_;
  std::vector<Span> spans_;  // guarded by lock_; each ends where the next begins
};

}  // namespace curg::internal
