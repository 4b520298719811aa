// SPDX-License-Identifier: Apache-2.0
//
// SampleDelivery: takes the records of one thread's prof buffer, weighs them, and gives each to
// every consumer.
//
//   prof buffer --Read--> SampleBatch --Give, Share--> weights --> ProfConsumer, ProfConsumer ...
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "profiler/exact_cpu.h"
#include "profiler/prof_consumer.h"
#include "profiler/sample_batch.h"
#include "profiler/thread_sampler.h"

namespace curg::internal {

// Owner only: the writer.
class SampleDelivery {
 public:
  // `consumer` must stay until it is removed.
  void Add(ProfConsumer* consumer) { consumers_.push_back(consumer); }
  void Remove(ProfConsumer* consumer) {
    std::erase(consumers_, consumer);
    if (!consumers_.empty()) return;
    last_samples_.clear();
    last_tags_.clear();
  }
  std::span<ProfConsumer* const> consumers() const { return consumers_; }

  // Delivers what `thread`'s buffer holds. `count()` tells the thread's counter; it is called once
  // the buffer was read. `level`: all that the thread has used up to now is to be credited.
  void Deliver(ThreadSampler& thread, bool level,
               const std::function<std::optional<int64_t>()>& count);

  // The CPU time that was credited to samples of all threads, ever.
  int64_t given() const { return given_; }

  // Who has had `tid`, a thread of the runtime's, since `since` (SampleTime), if a sample came
  // since then.
  std::optional<SliceOwner> OwnerOf(pid_t tid, uint64_t since) const;

 private:
  // The tag it was counted under, where the thread has no meter.
  TagRef DeliverRecord(const SampleBatch::Record& record, int64_t weight, bool metered);
  // Gives what no sample is at hand for to the tag that the thread's last one had. False: none had.
  bool DeliverUnseen(const ThreadSampler& thread, int64_t weight);
  std::span<const uintptr_t> WithRoot(const ProfHeader& header, std::span<const uintptr_t> pcs);

  struct LastSample {
    uint64_t time = 0;
    SliceOwner owner;
  };

  std::vector<ProfConsumer*> consumers_;
  int64_t given_ = 0;
  std::unordered_map<pid_t, LastSample> last_samples_;  // of metered threads, while there are
                                                        // consumers
  std::unordered_map<pid_t, TagRef> last_tags_;         // of the last samples of the others
  // scratch
  MeteredTimes metered_times_;
  SampleBatch batch_;
  std::vector<int64_t> weights_;
  std::vector<uintptr_t> stack_;
};

}  // namespace curg::internal
