// SPDX-License-Identifier: Apache-2.0
//
// SampleDelivery: takes the records of one thread's prof buffer, weighs them, and gives each to every
// consumer.
//
//   prof buffer --Read--> SampleBatch --Give, Share--> weights --> ProfConsumer, ProfConsumer ...
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "profiler/prof_consumer.h"
#include "profiler/sample_batch.h"
#include "profiler/thread_sampler.h"

namespace curg::internal {

// Owner only: the writer.
class SampleDelivery {
 public:
  // `consumer` must stay until it is removed.
  void Add(ProfConsumer* consumer) { consumers_.push_back(consumer); }
  void Remove(ProfConsumer* consumer) { std::erase(consumers_, consumer); }
  std::span<ProfConsumer* const> consumers() const { return consumers_; }

  // Delivers what `thread`'s buffer holds. `count()` tells the thread's counter; it is called once the
  // buffer was read. `level`: all that the thread has used up to now is to be credited.
  void Deliver(ThreadSampler& thread, bool level,
               const std::function<std::optional<int64_t>()>& count);

 private:
  void DeliverRecord(const SampleBatch::Record& record, int64_t weight);
  std::span<const uintptr_t> WithRoot(const ProfHeader& header, std::span<const uintptr_t> pcs);

  std::vector<ProfConsumer*> consumers_;
  // scratch
  SampleBatch batch_;
  std::vector<int64_t> weights_;
  std::vector<uintptr_t> stack_;
};

}  // namespace curg::internal
