// SPDX-License-Identifier: Apache-2.0
#include "profiler/sample_delivery.h"

#include "profiler/pseudo_frames.h"
#include "profiler/sample_tagger.h"

namespace curg::internal {

void SampleDelivery::Deliver(ThreadSampler& thread, bool level,
                             const std::function<std::optional<int64_t>()>& count) {
  batch_.Read(*thread.buffer);
  if (batch_.records().empty() && !level) return;

  if (thread.known && !thread.metered) thread.metered = CpuMeter::Has(thread.tid);
  weights_.clear();
  int64_t nominal = 0;
  for (const SampleBatch::Record& record : batch_.records()) {
    weights_.push_back(record.header.periods * thread.period);
    nominal += weights_.back();
  }
  if (thread.metered) metered_times_ = CpuMeter::Times();
  const int64_t given = thread.credit.Give(nominal, count(), level);
  if (thread.timed) given_ += given;
  Share(given, weights_);
  if (given > nominal && thread.timed) {
    const bool stackless = nominal == 0 && !DeliverUnseen(thread, given);
    for (ProfConsumer* consumer : consumers_) {
      consumer->Count(given - nominal, stackless, thread.metered);
    }
  }
  TagRef last_tag;
  for (size_t i = 0; i < weights_.size(); ++i) {
    last_tag = DeliverRecord(batch_.records()[i], weights_[i], thread.metered);
  }
  if (batch_.records().empty()) return;
  if (!thread.metered) {
    last_tags_[thread.tid] = std::move(last_tag);
    return;
  }
  const ProfHeader& last = batch_.records().back().header;
  if (last.kind == SampleKind::kLost) return;
  last_samples_[thread.tid] = {
      .time = last.time,
      .owner = {.runtime = last.kind != SampleKind::kTask, .tag = TagRef::Share(last.tag)}};
}

std::optional<SliceOwner> SampleDelivery::OwnerOf(pid_t tid, uint64_t since) const {
  const auto it = last_samples_.find(tid);
  if (it == last_samples_.end() || it->second.time < since) return std::nullopt;
  return it->second.owner;
}

// What a thread used after its last signal, and that it was its last one is known only now.
bool SampleDelivery::DeliverUnseen(const ThreadSampler& thread, int64_t weight) {
  const auto it = last_tags_.find(thread.tid);
  if (it == last_tags_.end()) return false;
  const TagRef tag = std::move(it->second);
  last_tags_.erase(it);
  const uintptr_t pc = PseudoLeaf(&NotSampled);
  for (ProfConsumer* consumer : consumers_) {
    consumer->Add({.pcs = {&pc, 1},
                   .tag = tag.get(),
                   .kind = SampleKind::kNotSampled,
                   .shape = StackShape::kWhole,
                   .samples = 0,
                   .periods = 0,
                   .weight = weight,
                   .task_tag = tag.get()});
  }
  return true;
}

TagRef SampleDelivery::DeliverRecord(const SampleBatch::Record& record, int64_t weight,
                                     bool metered) {
  const ProfHeader& header = record.header;
  if (header.kind == SampleKind::kLost) {
    for (ProfConsumer* consumer : consumers_) consumer->Lose(header.samples, weight, metered);
    return {};
  }
  TagRef tag;  // keeps what the tagger says until the maps have it
  // acquire: pairs with the store of whoever set it
  if (SampleTagger* const tagger = TheSampleTagger().load(std::memory_order_acquire)) [[unlikely]] {
    tag = tagger->TagOf(header.tag, header.time);
  }
  const WeighedSample sample = {.pcs = WithRoot(header, batch_.PcsOf(record)),
                                .tag = tag ? tag.get() : header.tag,
                                .kind = header.kind,
                                .shape = header.shape,
                                .samples = header.samples,
                                .periods = header.periods,
                                .weight = weight,
                                .task_id = header.task_id,
                                .task_tag = header.tag,
                                .spawn = header.spawn,
                                .metered = metered,
                                .metered_then = metered && metered_times_.Contain(header.time)};
  for (ProfConsumer* consumer : consumers_) consumer->Add(sample);
  return metered ? TagRef() : TagRef::Share(sample.tag);
}

// A stack that lacks its root gets a pseudo frame there that says why.
std::span<const uintptr_t> SampleDelivery::WithRoot(const ProfHeader& header,
                                                    std::span<const uintptr_t> pcs) {
  PseudoFrame root = nullptr;
  switch (header.shape) {
    case StackShape::kWhole:
    case StackShape::kSwitch:
      return pcs;
    case StackShape::kTruncated:
      root = &TruncatedStack;
      break;
    case StackShape::kNoRow:
    case StackShape::kBadFrame:
      root = &BrokenStack;
      break;
    case StackShape::kLeafOnly:
      root = header.kind == SampleKind::kForeign ? &ForeignThread : &UnknownStack;
      break;
  }
  stack_.assign(pcs.begin(), pcs.end());
  stack_.push_back(PseudoCaller(root));
  return stack_;
}

}  // namespace curg::internal
