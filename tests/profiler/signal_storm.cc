// SPDX-License-Identifier: Apache-2.0
#include "tests/profiler/signal_storm.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <chrono>

#include "profiler/cpu_timer.h"
#include "runtime/check.h"
#include "runtime/thread_registry.h"

namespace curg::internal {
namespace {

using Clock = std::chrono::steady_clock;

// From the end of the table, which a profile would reach with its 65,000th thread.
constexpr size_t kLastRecord = ThreadSamplerTable::kChunk * ThreadSamplerTable::kChunks - 1;

uint32_t g_generation = 0;  // of the one storm there is

}  // namespace

SignalStorm::SignalStorm(const Options& options, Visit visit)
    : options_(options), visit_(std::move(visit)) {
  const absl::Status installed = InstallSigprof();
  CURG_CHECK(installed.ok(), "the kernel refuses a signal handler");
  thread_ = std::thread([this] { Run(); });
}

void SignalStorm::Stop() {
  if (!thread_.joinable()) return;
  stop_.store(true, std::memory_order_relaxed);
  thread_.join();
}

void SignalStorm::Run() {
  const std::chrono::nanoseconds period(options_.rate_hz == 0 ? 0
                                                              : 1'000'000'000 / options_.rate_hz);
  for (Clock::time_point next = Clock::now(); !stop_.load(std::memory_order_relaxed);) {
    SendToAll();
    for (const auto& target : targets_) Drain(*target->buffer);
    next += period;
    const Clock::time_point now = Clock::now();
    if (next > now) {
      std::this_thread::sleep_until(next);
    } else {
      next = now;  // behind: no point in catching up
    }
  }
  for (const auto& target : targets_) {
    // As Sampler's Disarm; see the protocol in thread_sampler.h.
    target->sampler->armed_as.store(0, std::memory_order_seq_cst);
    while (target->sampler->handlers.load(std::memory_order_seq_cst) != 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    Drain(*target->buffer);
  }
}

void SignalStorm::SendToAll() {
  // None of them ends meanwhile, so that no thread id is another thread's.
  ForEachKnownThread(
      [](KnownThread& thread, void* self) {
        if (thread.kind == ThreadKind::kWorker) static_cast<SignalStorm*>(self)->SendTo(thread.tid);
      },
      this);
}

void SignalStorm::SendTo(pid_t tid) {
  siginfo_t info = {};
  info.si_signo = SIGPROF;
  info.si_code = SI_TIMER;
  info.si_value.sival_ptr = reinterpret_cast<void*>(
      TargetOf(tid).sampler->armed_as.load(std::memory_order_relaxed));  // relaxed: ours
  syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGPROF, &info);
}

SignalStorm::Target& SignalStorm::TargetOf(pid_t tid) {
  for (const auto& target : targets_) {
    if (target->tid == tid) return *target;
  }
  auto target = std::make_unique<Target>();
  target->tid = tid;
  target->words.resize(std::bit_floor(options_.buffer_bytes / sizeof(uint64_t)));
  target->buffer = std::make_unique<ProfBuf>(target->words, options_.depth_max);
  const size_t index = kLastRecord - targets_.size();
  target->sampler = thread_samplers.At(index);
  target->sampler->buffer = target->buffer.get();
  target->sampler->rules = &target->rules;
  // seq_cst: pairs with the load in the handler.
  target->sampler->armed_as.store(
      ThreadSamplerTable::Ticket(static_cast<uint32_t>(index), ++g_generation),
      std::memory_order_seq_cst);
  return *targets_.emplace_back(std::move(target));
}

void SignalStorm::Drain(ProfBuf& buffer) {
  ProfHeader header;
  std::span<const uintptr_t> pcs;
  while (buffer.Read(header, pcs)) {
    if (header.kind == SampleKind::kLost) {
      lost_.fetch_add(header.samples, std::memory_order_relaxed);  // relaxed: a statistic
      continue;
    }
    if (header.tag != nullptr) header.tag->ShowAcquire();
    visit_(header, pcs);
    if (header.tag != nullptr) header.tag->Unref();
    samples_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
  }
}

}  // namespace curg::internal
