// SPDX-License-Identifier: Apache-2.0
#include "profiler/prof_writer.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "profiler/cpu_timer.h"
#include "profiler/perf_event.h"
#include "profiler/prof_buf_memory.h"
#include "runtime/deadline.h"
#include "runtime/service.h"
#include "runtime/unwind_table.h"

namespace curg::internal {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::nanoseconds kLookPeriod = std::chrono::milliseconds(100);

// What `consumers` need between them.
SamplerOptions Wanted(std::span<ProfConsumer* const> consumers) {
  SamplerOptions wanted = consumers.front()->options().sampler;
  for (const ProfConsumer* consumer : consumers) {
    const SamplerOptions& options = consumer->options().sampler;
    wanted.period_ns = std::min(wanted.period_ns, options.period_ns);
    wanted.depth_max = std::max(wanted.depth_max, options.depth_max);
    if (options.engine != CpuEngine::kAuto) wanted.engine = options.engine;
  }
  return wanted;
}

}  // namespace

std::chrono::nanoseconds DrainPeriod(int64_t signal_hz, size_t depth_max, size_t ring_bytes) {
  const size_t record_bytes = (ProfBuf::kHeaderWords + depth_max) * sizeof(uint64_t);
  const double quarter = static_cast<double>(ring_bytes) / 4 / static_cast<double>(record_bytes);
  const std::chrono::nanoseconds fill(
      static_cast<int64_t>(1e9 * quarter / static_cast<double>(signal_hz)));
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

ProfWriter& ProfWriter::Get() {
  static ProfWriter* const writer = new ProfWriter;
  return *writer;
}

absl::Status ProfWriter::Add(ProfConsumer& consumer) {
  const std::lock_guard lock(mutex_);
  if (absl::Status status = RefreshUnwindTables(); !status.ok()) {
    consumer.Note(absl::StrCat("Stacks are incomplete: ", status.ToString()));
  }
  const std::optional<CpuMeter::Wish> exact = consumer.options().exact;
  if (exact.has_value()) CpuMeter::Start(*exact);
  auto no_meter = absl::MakeCleanup([&exact] {
    if (exact.has_value()) CpuMeter::Stop(*exact);
  });
  if (absl::Status status = StartOrJoin(consumer); !status.ok()) return status;
  std::move(no_meter).Cancel();
  consumer.Begin();
  consumer.unseen_begin = Unseen();
  if (exact.has_value()) {
    const CpuTotals totals = CpuMeter::Read();
    consumer.give_ups_begin = totals.give_ups;
    consumer.exact_begin = ExactOf(totals);
  }
  consumer.NotePeriod(Sampler::Get().options().period_ns);
  return absl::OkStatus();
}

absl::Status ProfWriter::StartOrJoin(ProfConsumer& consumer) {
  Sampler& sampler = Sampler::Get();
  if (delivery_.consumers().empty()) {
    if (absl::Status status = sampler.Start(consumer.options().sampler); !status.ok())
      return status;
    delivery_.Add(&consumer);
    try {
      StartLoop();
    } catch (...) {
      sampler.Stop();
      DrainAll(/*level=*/true);
      delivery_.Remove(&consumer);
      throw;
    }
    return absl::OkStatus();
  }
  const CpuEngine asked = consumer.options().sampler.engine;
  const CpuEngine used = sampler.options().engine;
  if (asked == CpuEngine::kAuto ? !CountsTime(used) : asked != used) {
    return absl::FailedPreconditionError(
        absl::StrCat("other profiles are being taken by ", EngineName(used),
                     ", and all share one engine; stop those first to use ", EngineName(asked)));
  }
  sampler.ScanThreads();
  DrainAll(/*level=*/true);  // what was before is not the new one's
  delivery_.Add(&consumer);
  Adjust();
  return absl::OkStatus();
}

CpuProfile ProfWriter::Remove(ProfConsumer& consumer) {
  JoinHandle<void> ended;
  CpuProfile profile;
  {
    const std::lock_guard lock(mutex_);
    Sampler& sampler = Sampler::Get();
    const bool last = delivery_.consumers().size() == 1;
    sampler.ScanThreads();  // those that have ended get their due first
    DrainAll(/*level=*/false);
    const UnseenCpu unseen = Unseen();
    if (last) sampler.Stop();
    const CpuTotals totals = CpuMeter::Read();
    consumer.End();
    if (CountsTime(sampler.options().engine)) {
      consumer.AddUnseen(unseen.ns - consumer.unseen_begin.ns,
                         unseen.blur + consumer.unseen_begin.blur);
    }
    DrainAll(/*level=*/true);
    profile = Take(consumer, totals);
    delivery_.Remove(&consumer);
    if (last) {
      StopLoop();
      ended = std::move(task_);
    } else {
      Adjust();
    }
  }
  if (ended.joinable()) ended.Join();
  return profile;
}

// `totals`: the meters' reading at its end.
CpuProfile ProfWriter::Take(ProfConsumer& consumer, const CpuTotals& totals) {
  const SamplerCounts counts = Sampler::Get().counts();
  const std::optional<CpuMeter::Wish> exact = consumer.options().exact;
  if (!exact.has_value()) return consumer.Take(counts);
  CpuMeter::Stop(*exact);
  const ExactCpu used = Difference(consumer.exact_begin, ExactOf(totals));
  if (totals.give_ups != consumer.give_ups_begin) {
    consumer.Note(absl::StrCat(
        "Label totals are sampled for ", absl::FormatDuration(absl::Nanoseconds(used.unmetered_ns)),
        " of the CPU time: label sets took turns so fast that to count them would have cost more "
        "than 1 % of it."));
  }
  return consumer.Take(counts, &used);
}

// Gives the sampler what the consumers need now. Requires: the buffers were just drained.
void ProfWriter::Adjust() {
  Sampler& sampler = Sampler::Get();
  const SamplerOptions now = sampler.options();
  const SamplerOptions asked = Wanted(delivery_.consumers());
  SamplerOptions wanted = asked;
  wanted.engine = now.engine;
  if (wanted.depth_max > now.depth_max) {
    // Buffers are made for one depth: others are needed.
    sampler.Stop();
    DrainAll(/*level=*/true);
    // The handler is installed already; what else it could object to, it would have at the start.
    sampler.Start(asked).IgnoreError();
  } else if (wanted.period_ns != now.period_ns) {
    sampler.SetPeriod(wanted.period_ns);
  } else {
    return;
  }
  for (ProfConsumer* consumer : delivery_.consumers()) consumer->NotePeriod(wanted.period_ns);
  StopLoop();  // it may be asleep for longer than buffers now take to fill
  StartLoop();
}

void ProfWriter::StartLoop() {
  const auto loop = std::make_shared<Loop>();
  task_ = GoService("profile writer", [this, loop] { Run(*loop); });
  loop_ = loop;
}

void ProfWriter::StopLoop() { std::exchange(loop_, nullptr)->stop.Make(); }

void ProfWriter::Run(Loop& loop) {
  Clock::time_point look = Clock::now();  // at once: the start does not wait for the mappings
  const SamplerOptions options = Sampler::Get().options();
  const std::chrono::nanoseconds period =
      DrainPeriod(Sampler::SignalHzMax(options), options.depth_max, kProfBufBytes);
  // Not a look every second drain: a thread that lives a little longer than kLookPeriod is found.
  while (!loop.stop.WaitUntil(std::min(Clock::now() + period, look))) {
    const std::lock_guard lock(mutex_);
    if (loop_.get() != &loop) return;
    DrainAll(/*level=*/false);
    if (Clock::now() < look) continue;
    Look();
    look = Clock::now() + kLookPeriod;
  }
}

// What has changed in the process: modules and threads.
void ProfWriter::Look() {
  bool changed = false;
  for (ProfConsumer* consumer : delivery_.consumers()) changed |= consumer->LookAtModules();
  if (changed) {
    if (absl::Status status = RefreshUnwindTables(); !status.ok()) {
      for (ProfConsumer* consumer : delivery_.consumers()) {
        consumer->Note(absl::StrCat("Stacks are incomplete: ", status.ToString()));
      }
    }
  }
  Sampler::Get().ScanThreads();
  CpuMeter::TryAgain();
}

ExactCpu ProfWriter::ExactOf(const CpuTotals& totals) const {
  return ExactCpuOf(totals,
                    [this](pid_t tid, uint64_t since) { return delivery_.OwnerOf(tid, since); });
}

UnseenCpu ProfWriter::Unseen() const {
  const Sampler& sampler = Sampler::Get();
  // To read the clock of a thread that runs also brings the kernel's sum for the process up to
  // date, which is a tick old otherwise.
  (void)sampler.Owed();
  const int64_t before = ProcessCpuNs();
  const int64_t seen = delivery_.given() + sampler.Owed();
  const int64_t blur = (ProcessCpuNs() - before) / 2;
  return {.ns = before + blur - seen, .blur = blur};
}

void ProfWriter::DrainAll(bool level) {
  Sampler& sampler = Sampler::Get();
  sampler.FindUnknownStacks();
  sampler.ForEachThread([&](ThreadSampler& thread, bool ended) {
    delivery_.Deliver(thread, level || ended, [&] { return sampler.CountOf(thread); });
  });
}

}  // namespace curg::internal
