// SPDX-License-Identifier: Apache-2.0
#include "profiler/prof_writer.h"

#include <time.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "profiler/pseudo_frames.h"
#include "profiler/sample_tagger.h"
#include "profiler/sigprof.h"
#include "runtime/deadline.h"
#include "runtime/unwind_table.h"

namespace curg::internal {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::nanoseconds kLookPeriod = std::chrono::milliseconds(100);

// User and system time of the whole process.
absl::Duration ProcessCpu() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

}  // namespace

std::chrono::nanoseconds DrainPeriod(int64_t rate_hz, size_t depth_max, size_t ring_bytes) {
  // CPU timers fire in the kernel's tick, which no kernel has more often than this.
  constexpr int64_t kTickHzMax = 1000;
  const int64_t records_per_second = std::min(rate_hz, kTickHzMax);
  const size_t record_bytes = (ProfBuf::kHeaderWords + depth_max) * sizeof(uint64_t);
  const double quarter = static_cast<double>(ring_bytes) / 4 / static_cast<double>(record_bytes);
  const std::chrono::nanoseconds fill(
      static_cast<int64_t>(1e9 * quarter / static_cast<double>(records_per_second)));
  return std::clamp<std::chrono::nanoseconds>(fill, std::chrono::milliseconds(1), kLookPeriod);
}

void StopRequest::Make() {
  lock_.lock();
  made_ = true;
  ClaimWaiter* const waiter = std::exchange(waiter_, nullptr);
  const bool wake = waiter != nullptr && waiter->TryClaim();
  lock_.unlock();
  if (wake) waiter->Wake();  // still there: it waits for whoever claimed it
}

bool StopRequest::WaitUntil(Clock::time_point deadline) {
  lock_.lock();
  if (!made_) {
    ClaimWaiter waiter;
    waiter_ = &waiter;
    lock_.unlock();
    waiter.Wait(WaitReason::kServiceWait, this, Deadline(deadline).nanoseconds());
    lock_.lock();
    waiter_ = nullptr;
  }
  const bool made = made_;
  lock_.unlock();
  return made;
}

ProfWriter::ProfWriter(const Options& options) : options_(options), map_(options.map_bytes_max) {
  quality_.engine = "posix-cpu-timer";
}

absl::Status ProfWriter::Start() {
  if (absl::Status status = RefreshUnwindTables(); !status.ok()) {
    quality_.notes.push_back(absl::StrCat("Stacks are incomplete: ", status.ToString()));
  }
  mappings_.Capture();
  stale_start_ = StaleSigprofs();
  start_ = absl::Now();
  cpu_start_ = ProcessCpu();
  return Sampler::Get().Start(options_.sampler);
}

CpuProfile ProfWriter::Run() {
  const int64_t rate_hz = 1'000'000'000 / options_.sampler.period_ns;
  const std::chrono::nanoseconds period =
      DrainPeriod(rate_hz, options_.sampler.depth_max, Sampler::kOtherBufferBytes);
  Clock::time_point look = Clock::now() + kLookPeriod;
  while (!stop_.WaitUntil(Clock::now() + period)) {
    DrainAll();
    if (Clock::now() < look) continue;
    Look();
    look = Clock::now() + kLookPeriod;
  }
  Sampler::Get().Stop();
  cpu_end_ = ProcessCpu();
  DrainAll();
  mappings_.Capture();
  return Finish();
}

// What has changed in the process: modules and threads.
void ProfWriter::Look() {
  if (mappings_.Capture()) {
    if (absl::Status status = RefreshUnwindTables(); !status.ok()) {
      quality_.notes.push_back(absl::StrCat("Stacks are incomplete: ", status.ToString()));
    }
  }
  Sampler::Get().ScanThreads();
}

void ProfWriter::DrainAll() {
  Sampler::Get().FindUnknownStacks();
  Sampler::Get().ForEachBuffer([this](ProfBuf& buffer) { Drain(buffer); });
}

void ProfWriter::Drain(ProfBuf& buffer) {
  ProfHeader header;
  std::span<const uintptr_t> pcs;
  while (buffer.Read(header, pcs)) {
    if (header.kind == SampleKind::kLost) {
      quality_.lost_samples += header.samples;
      quality_.lost_periods += header.periods;
      continue;
    }
    if (header.tag != nullptr) header.tag->ShowAcquire();
    AddSample(header, pcs);
    if (header.tag != nullptr) header.tag->Unref();  // the reference that came with the record
  }
}

void ProfWriter::AddSample(const ProfHeader& header, std::span<const uintptr_t> pcs) {
  quality_.samples += header.samples;
  quality_.periods += header.periods;
  quality_.overruns += header.periods - header.samples;
  CountShape(header.shape);
  TagRef tag;  // keeps what the tagger says until the map has it
  // acquire: pairs with the store of whoever set it
  if (SampleTagger* const tagger = TheSampleTagger().load(std::memory_order_acquire)) [[unlikely]] {
    tag = tagger->TagOf(header.tag, header.time);
  }
  map_.Add({.pcs = WithRoot(header, pcs),
            .tag = tag ? tag.get() : header.tag,
            .kind = header.kind,
            .truncated = header.shape == StackShape::kTruncated},
           header.samples, header.periods);
}

void ProfWriter::CountShape(StackShape shape) {
  switch (shape) {
    case StackShape::kWhole:
      return;
    case StackShape::kSwitch:
      ++quality_.switches;
      return;
    case StackShape::kTruncated:
      ++quality_.truncated;
      return;
    case StackShape::kNoRow:
      ++quality_.failed_no_row;
      break;
    case StackShape::kBadFrame:
      ++quality_.failed_bad_frame;
      break;
    case StackShape::kLeafOnly:
      ++quality_.failed_no_bounds;
      break;
  }
  ++quality_.failed_unwinds;
}

// A stack that lacks its root gets a pseudo frame there that says why.
std::span<const uintptr_t> ProfWriter::WithRoot(const ProfHeader& header,
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

CpuProfile ProfWriter::Finish() {
  CpuProfile profile;
  profile.period_ns = options_.sampler.period_ns;
  profile.start = start_;
  profile.duration = absl::Now() - start_;
  quality_.overflow_samples = map_.overflow_samples();
  profile.entries = map_.Take();
  if (quality_.lost_samples != 0) {
    CpuProfileEntry lost;
    lost.pcs = {PseudoLeaf(&LostSamples)};
    lost.kind = SampleKind::kLost;
    lost.samples = quality_.lost_samples;
    lost.periods = quality_.lost_periods;
    profile.entries.push_back(std::move(lost));
  }
  profile.mappings = mappings_.Take();
  profile.quality = std::exchange(quality_, {});
  NoteTrouble(profile.quality);
  return profile;
}

void ProfWriter::NoteTrouble(CpuProfileQuality& quality) const {
  const SamplerCounts counts = Sampler::Get().counts();
  quality.threads = counts.threads;
  quality.threads_refused = counts.threads_refused;
  quality.stale_signals = StaleSigprofs() - stale_start_;
  quality.cpu_time = cpu_end_ - cpu_start_;
  if (counts.threads_refused != 0) {
    quality.notes.push_back(
        absl::StrCat(counts.threads_refused, " threads were not sampled: ", counts.refusal, "."));
  }
  if (!counts.scan_failure.empty()) {
    quality.notes.push_back(absl::StrCat(
        "Threads the runtime does not know were not sampled: ", counts.scan_failure, "."));
  }
  const absl::Duration period = absl::Nanoseconds(options_.sampler.period_ns);
  if (quality.samples == 0 && quality.cpu_time > 10 * period) {
    quality.notes.push_back(absl::StrCat("Nothing was recorded although the process used ",
                                         absl::FormatDuration(quality.cpu_time),
                                         " of CPU: is SIGPROF blocked, or its handler replaced?"));
  }
}

}  // namespace curg::internal
