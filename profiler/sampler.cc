// SPDX-License-Identifier: Apache-2.0
#include "profiler/sampler.h"

#include <sys/mman.h>
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "profiler/proc_self.h"
#include "runtime/check.h"

namespace curg::internal {
namespace {

// A prof buffer in pages of its own, or null.
ProfBuf* NewBuffer(size_t bytes, size_t depth_max) {
  void* const words =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (words == MAP_FAILED) return nullptr;
  return new ProfBuf({static_cast<uint64_t*>(words), bytes / sizeof(uint64_t)}, depth_max);
}

void DeleteBuffer(ProfBuf* buffer) {
  const std::span<uint64_t> words = buffer->words();
  delete buffer;
  munmap(words.data(), words.size_bytes());
}

// Uniform over (0, period]: with a fixed first expiry, threads that live shorter than a period
// would never be seen.
int64_t RandomFirst(uint64_t& state, int64_t period_ns) {
  state += 0x9e3779b97f4a7c15;  // splitmix64
  uint64_t x = state ^ __rdtsc();
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  x ^= x >> 31;
  return 1 + static_cast<int64_t>(x % static_cast<uint64_t>(period_ns));
}

}  // namespace

Sampler& Sampler::Get() {
  static Sampler* const sampler = new Sampler;
  return *sampler;
}

absl::Status Sampler::Start(const SamplerOptions& options) {
  if (absl::Status status = InstallSigprof(); !status.ok()) return status;
  bool observing = false;
  {
    const std::lock_guard lock(mutex_);
    CURG_CHECK(!running_, "stop the sampler before starting it again");
    options_ = options;
    counts_ = {};
    running_ = true;
    scanned_ = false;
    observing = std::exchange(observing_, true);
  }
  // Not under mutex_: the registry calls us with its own lock held.
  if (observing) {
    ForEachKnownThread(
        [](KnownThread& thread, void* self) { static_cast<Sampler*>(self)->OnThreadBegin(thread); },
        this);
  } else {
    SetThreadObserver(this);
  }
  ScanThreads();
  return absl::OkStatus();
}

void Sampler::Stop() {
  const std::lock_guard lock(mutex_);
  running_ = false;
  for (auto& [tid, thread] : threads_) Disarm(thread);
  threads_.clear();
}

SamplerCounts Sampler::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void Sampler::OnThreadBegin(KnownThread& thread) {
  const std::lock_guard lock(mutex_);
  if (running_) ArmKnown(thread);
}

void Sampler::OnThreadEnd(KnownThread& thread) {
  const std::lock_guard lock(mutex_);
  const auto it = threads_.find(thread.tid);
  if (it == threads_.end()) return;
  Disarm(it->second);
  // Its entry stays while the kernel still lists the thread, lest the scan take it for a foreign
  // one.
  it->second.scans_since_end = 0;
}

void Sampler::ArmKnown(const KnownThread& thread) {
  const auto it = threads_.find(thread.tid);
  if (it != threads_.end()) {
    const bool armed_already = it->second.known && it->second.scans_since_end < 0;
    if (armed_already) return;
    // The scan was quicker than the thread's beginning, or the id belonged to one that has ended.
    if (it->second.sampler != nullptr && !it->second.known) --counts_.threads;
    Disarm(it->second);
    threads_.erase(it);
  }
  Arm(thread.tid, /*known=*/true, CountFrom::kNow,
      thread.kind == ThreadKind::kWorker ? kWorkerBufferBytes : kOtherBufferBytes);
}

void Sampler::ArmForeign(pid_t tid, CountFrom from) {
  Arm(tid, /*known=*/false, from, kOtherBufferBytes);
}

void Sampler::Arm(pid_t tid, bool known, CountFrom from, size_t buffer_bytes) {
  Thread thread = {.known = known};
  const absl::Status status = TryArm(tid, from, buffer_bytes, thread);
  if (absl::IsNotFound(status)) return;  // it ended in the meantime
  threads_[tid] = thread;
  if (status.ok()) {
    ++counts_.threads;
    return;
  }
  ++counts_.threads_refused;
  if (counts_.refusal.empty()) counts_.refusal = std::string(status.message());
}

absl::Status Sampler::TryArm(pid_t tid, CountFrom from, size_t buffer_bytes, Thread& thread) {
  ThreadSampler* const sampler = AcquireRecord();
  if (sampler == nullptr) return absl::ResourceExhaustedError("more than 65536 threads");
  const uint64_t ticket = ThreadSamplerTable::Ticket(sampler->index, ++generation_);
  const absl::StatusOr<CpuTimer> timer = CreateCpuTimer(tid, ticket);
  if (!timer.ok()) {
    free_records_.push_back(sampler);
    return timer.status();
  }
  sampler->buffer = NewBuffer(buffer_bytes, options_.depth_max);
  if (sampler->buffer == nullptr) {
    DeleteCpuTimer(*timer);
    free_records_.push_back(sampler);
    return absl::ResourceExhaustedError("no memory for a prof buffer");
  }
  sampler->unknown_sp.store(0, std::memory_order_relaxed);  // relaxed: published below
  sampler->stack.store(0, std::memory_order_relaxed);
  // release: pairs with the acquire in ForEachBuffer()
  sampler->state.store(ThreadSampler::State::kArmed, std::memory_order_release);
  // seq_cst: pairs with the load in the handler. Before the timer can fire.
  sampler->armed_as.store(ticket, std::memory_order_seq_cst);
  thread.sampler = sampler;
  thread.timer = *timer;
  StartCpuTimer(*timer, from, RandomFirst(random_state_, options_.period_ns), options_.period_ns);
  return absl::OkStatus();
}

void Sampler::Disarm(Thread& thread) {
  ThreadSampler* const sampler = std::exchange(thread.sampler, nullptr);
  if (sampler == nullptr) return;
  DeleteCpuTimer(thread.timer);
  // seq_cst: pair with the handler's; see the protocol in thread_sampler.h.
  sampler->armed_as.store(0, std::memory_order_seq_cst);
  while (sampler->handlers.load(std::memory_order_seq_cst) != 0) {
    // The thread was preempted in its handler, or runs it on another CPU.
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  // release: pairs with the acquire in ForEachBuffer()
  sampler->state.store(ThreadSampler::State::kEnded, std::memory_order_release);
}

ThreadSampler* Sampler::AcquireRecord() {
  if (!free_records_.empty()) {
    ThreadSampler* const sampler = free_records_.back();
    free_records_.pop_back();
    return sampler;
  }
  const size_t index = records_used_.load(std::memory_order_relaxed);  // relaxed: under mutex_
  ThreadSampler* const sampler = thread_samplers.At(index);
  // release: pairs with the acquire in ForEachBuffer()
  if (sampler != nullptr) records_used_.store(index + 1, std::memory_order_release);
  return sampler;
}

void Sampler::ForEachBuffer(absl::FunctionRef<void(ProfBuf&)> visit) {
  // acquire: pairs with the release in AcquireRecord()
  const size_t used = records_used_.load(std::memory_order_acquire);
  for (size_t i = 0; i < used; ++i) {
    ThreadSampler& sampler = *thread_samplers.At(i);
    // acquire: pairs with the releases in TryArm() and Disarm()
    const ThreadSampler::State state = sampler.state.load(std::memory_order_acquire);
    if (state == ThreadSampler::State::kFree) continue;
    visit(*sampler.buffer);
    if (state != ThreadSampler::State::kEnded) continue;
    DeleteBuffer(std::exchange(sampler.buffer, nullptr));
    const std::lock_guard lock(mutex_);
    sampler.state.store(ThreadSampler::State::kFree, std::memory_order_relaxed);  // relaxed: mutex_
    free_records_.push_back(&sampler);
  }
}

void Sampler::ScanThreads() {
  const absl::StatusOr<std::vector<pid_t>> alive = ReadThreadIds();
  const std::lock_guard lock(mutex_);
  if (!alive.ok()) {
    counts_.scan_failure = std::string(alive.status().message());
    return;
  }
  ForgetGoneThreads(*alive);
  for (const pid_t tid : *alive) {
    if (threads_.contains(tid)) continue;
    ArmForeign(tid, scanned_ ? CountFrom::kBirth : CountFrom::kNow);
  }
  scanned_ = true;
}

// A known thread says itself when it ends, so only the entries of foreign and of ended ones are
// old.
void Sampler::ForgetGoneThreads(const std::vector<pid_t>& alive) {
  std::vector<pid_t> left;
  for (auto it = threads_.begin(); it != threads_.end();) {
    const auto current = it++;
    auto& [tid, thread] = *current;
    const bool ended = thread.scans_since_end >= 0;
    if (thread.known && !ended) continue;
    if (!IsGone(tid, thread, alive)) continue;
    if (ended && std::binary_search(alive.begin(), alive.end(), tid)) left.push_back(tid);
    Disarm(thread);
    threads_.erase(current);
  }
  // They left the runtime and live on; what they used before has been counted.
  for (const pid_t tid : left) ArmForeign(tid, CountFrom::kNow);
}

bool Sampler::IsGone(pid_t tid, Thread& thread, const std::vector<pid_t>& alive) {
  if (!std::binary_search(alive.begin(), alive.end(), tid)) return true;
  // A thread that ended takes far less than two scans to disappear from the kernel's list.
  constexpr int kScansToDisappear = 2;
  if (thread.scans_since_end >= 0) return ++thread.scans_since_end >= kScansToDisappear;
  return thread.sampler != nullptr && CpuTimerThreadGone(thread.timer);
}

void Sampler::FindUnknownStacks() {
  std::vector<ProcMapping> mappings;
  const size_t used = records_used_.load(std::memory_order_acquire);  // acquire: as ForEachBuffer
  for (size_t i = 0; i < used; ++i) {
    ThreadSampler& sampler = *thread_samplers.At(i);
    const uintptr_t sp = sampler.unknown_sp.exchange(0, std::memory_order_relaxed);
    if (sp == 0) continue;
    if (mappings.empty()) mappings = ReadProcMaps().value_or(std::vector<ProcMapping>());
    for (const ProcMapping& mapping : mappings) {
      if (sp < mapping.start || sp >= mapping.limit) continue;
      sampler.stack.store(PackStack({mapping.start, mapping.limit}), std::memory_order_relaxed);
    }
  }
}

}  // namespace curg::internal
