// SPDX-License-Identifier: Apache-2.0
#include "profiler/sampler.h"

#include <sys/resource.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "profiler/cpu_timer.h"
#include "profiler/perf_event.h"
#include "profiler/proc_self.h"
#include "profiler/prof_buf_memory.h"
#include "profiler/sigprof.h"
#include "runtime/check.h"
#include "runtime/other_thread.h"

namespace curg::internal {
namespace {

// Uniform over (0, max].
int64_t RandomUpTo(uint64_t& state, int64_t max) {
  state += 0x9e3779b97f4a7c15;  // splitmix64
  uint64_t x = state ^ __rdtsc();
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  x ^= x >> 31;
  return 1 + static_cast<int64_t>(x % static_cast<uint64_t>(max));
}

// How often the kernel looks at timers.
int64_t TickNs() {
  timespec resolution = {};
  clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
  return resolution.tv_nsec;
}

bool IsPerfClock(CpuEngine engine) { return engine != CpuEngine::kTimer && CountsTime(engine); }

// The upper half of the descriptors is the program's, whatever the number of threads.
int DescriptorsMax() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 512;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur / 2, 1 << 20));
}

// Requires: the sampler's mutex, as whoever disarms the thread has.
std::optional<int64_t> CountNow(const ThreadSampler& thread) {
  return thread.source != nullptr ? thread.source->Count() : thread.final_count;
}

}  // namespace

int64_t Sampler::SignalHzMax(const SamplerOptions& options) {
  constexpr int64_t kTickHzMax = 1000;
  const int64_t hz = 1'000'000'000 / options.period_ns;
  return options.engine == CpuEngine::kTimer ? std::min(hz, kTickHzMax) : hz;
}

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
    armed_by_.clear();
    if (absl::Status status = ChooseEngine(); !status.ok()) return status;
    counts_.chosen = options_.engine;
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
  SamplerCounts counts = counts_;
  const bool one = armed_by_.size() <= 1;
  if (one) {
    counts.engine = EngineName(armed_by_.empty() ? options_.engine : armed_by_.begin()->first);
  }
  for (const auto& [engine, threads] : armed_by_) {
    if (one) break;
    absl::StrAppend(&counts.engine, counts.engine.empty() ? "" : ", ", EngineName(engine), " (",
                    threads, " threads)");
  }
  return counts;
}

SamplerOptions Sampler::options() const {
  const std::lock_guard lock(mutex_);
  return options_;
}

void Sampler::SetPeriod(int64_t period_ns) {
  const std::lock_guard lock(mutex_);
  options_.period_ns = period_ns;
  for (auto& [tid, thread] : threads_) {
    if (thread.sampler == nullptr) continue;
    const Expiry expiry = NextExpiry(thread.sampler->engine);
    Credit(CountFrom::kNow, expiry, *thread.sampler);
    thread.sampler->source->Start(expiry.first, expiry.period);
  }
}

void Sampler::OnThreadBegin(KnownThread& thread) {
  if (thread.tid == gettid()) LearnThreadId();
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
  const bool worker = thread.kind == ThreadKind::kWorker;
  Arm(thread.tid, {.known = true, .worker = worker}, CountFrom::kNow);
}

void Sampler::ArmForeign(pid_t tid, CountFrom from) { Arm(tid, {}, from); }

void Sampler::Arm(pid_t tid, Thread thread, CountFrom from) {
  const absl::Status status = TryArm(tid, from, thread);
  if (absl::IsNotFound(status)) return;  // it ended in the meantime
  threads_[tid] = thread;
  if (status.ok()) {
    ++counts_.threads;
    ++armed_by_[thread.sampler->engine];
    return;
  }
  ++counts_.threads_refused;
  if (counts_.refusal.empty()) counts_.refusal = std::string(status.message());
}

absl::Status Sampler::TryArm(pid_t tid, CountFrom from, Thread& thread) {
  ThreadSampler* const sampler = AcquireRecord();
  if (sampler == nullptr) return absl::ResourceExhaustedError("more than 65536 threads");
  const uint64_t ticket = ThreadSamplerTable::Ticket(sampler->index, ++generation_);
  absl::StatusOr<std::unique_ptr<SampleSource>> source =
      NewSource(tid, ticket, thread.by_timer, sampler->engine);
  if (!source.ok()) {
    free_records_.push_back(sampler);
    return source.status();
  }
  auto rules = std::unique_ptr<RuleCache>(new (std::nothrow) RuleCache);
  sampler->buffer = rules == nullptr ? nullptr : NewProfBuf(options_.depth_max);
  if (sampler->buffer == nullptr) {
    free_records_.push_back(sampler);
    return absl::ResourceExhaustedError("no memory for a prof buffer");
  }
  sampler->rules = rules.release();
  sampler->unknown_sp.store(0, std::memory_order_relaxed);  // relaxed: published below
  sampler->stack.store(0, std::memory_order_relaxed);
  sampler->tid = tid;
  sampler->known = thread.known;
  sampler->metered = thread.worker;
  sampler->source = *std::move(source);
  sampler->final_count = std::nullopt;
  sampler->credit = {};
  const Expiry expiry = NextExpiry(sampler->engine);
  Credit(from, expiry, *sampler);
  // release: pairs with the acquire in ForEachThread()
  sampler->state.store(ThreadSampler::State::kArmed, std::memory_order_release);
  // seq_cst: pairs with the load in the handler. Before the timer can fire.
  sampler->armed_as.store(ticket, std::memory_order_seq_cst);
  thread.sampler = sampler;
  sampler->source->Start(expiry.first, expiry.period);
  return absl::OkStatus();
}

// With mutex_ held. Tries it on the calling thread.
absl::Status Sampler::ChooseEngine() {
  const CpuEngine wanted = options_.engine;
  may_fall_back_ = wanted == CpuEngine::kAuto;
  if (wanted == CpuEngine::kTimer) return absl::OkStatus();
  if (wanted == CpuEngine::kAuto) options_.engine = CpuEngine::kPerf;
  const auto tried =
      NewPerfEvent(options_.engine, gettid(), /*ticket=*/0, options_.period_ns, DescriptorsMax());
  if (tried.ok()) return absl::OkStatus();
  if (!may_fall_back_) return tried.status();
  options_.engine = CpuEngine::kTimer;
  counts_.fallback = absl::StrCat("Sampled by timers, which the kernel looks at in its tick only: ",
                                  tried.status().message(), ".");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SampleSource>> Sampler::NewSource(pid_t tid, uint64_t ticket,
                                                                 bool by_timer, CpuEngine& engine) {
  engine = by_timer ? CpuEngine::kTimer : options_.engine;
  if (engine == CpuEngine::kTimer) return NewCpuTimer(tid, ticket);
  absl::StatusOr<std::unique_ptr<SampleSource>> source =
      NewPerfEvent(engine, tid, ticket, options_.period_ns,
                   may_fall_back_ ? DescriptorsMax() : std::numeric_limits<int>::max());
  if (source.ok() || absl::IsNotFound(source.status()) || !may_fall_back_) return source;
  if (counts_.fallback.empty()) {
    counts_.fallback = absl::StrCat(
        "Some threads were sampled by timers, which the kernel looks at in "
        "its tick only: ",
        source.status().message(), ".");
  }
  engine = CpuEngine::kTimer;
  return NewCpuTimer(tid, ticket);
}

// With a fixed first expiry, threads that live shorter than a period would never be seen. The perf
// clock has none of its own.
Sampler::Expiry Sampler::NextExpiry(CpuEngine engine) {
  const int64_t period = options_.period_ns;
  if (!IsPerfClock(engine)) return {RandomUpTo(random_state_, period), period};
  const int64_t varied = period - period / 4 + RandomUpTo(random_state_, period / 2);
  return {varied, varied};
}

// A thread the runtime knows says what it has used when it ends, and a perf event tells it even
// later. A timer of another thread goes with it, and nobody knows what there was after its last
// signal.
void Sampler::Credit(CountFrom from, Expiry expiry, ThreadSampler& sampler) const {
  // A timer's signal may wait for the kernel's tick, which comes every 10 ms at least.
  constexpr int64_t kLateMax = 20'000'000;
  const bool timer = sampler.engine == CpuEngine::kTimer;
  ThreadCredit& credit = sampler.credit;
  sampler.timed = CountsTime(sampler.engine);
  sampler.period = sampler.timed ? expiry.period : 1;
  if (!sampler.timed) return;
  credit.behind_max = timer ? expiry.period + kLateMax : 2 * expiry.period;
  credit.first_extra = timer ? expiry.first - expiry.period : 0;
  credit.unseen_end = (expiry.period + TickNs()) / 2;
  if (from == CountFrom::kNow) return;
  const int64_t before = ThreadCpuNs(sampler.tid).value_or(0);
  credit.given = -before;
  credit.first_extra += before;
}

// A load that does the same over and over, in step with a perf event, would be met at one place
// only. So the period of those that have had samples is changed a little at each look, and with it
// where the next one begins. What the kernel forgets of the present one, the counter remembers.
void Sampler::VaryPeriods() {
  std::vector<pid_t> for_timers;
  for (auto& [tid, thread] : threads_) {
    ThreadSampler* const sampler = thread.sampler;
    if (sampler == nullptr || !IsPerfClock(sampler->engine)) continue;
    if (std::exchange(sampler->varied_at, sampler->credit.given) == sampler->credit.given) continue;
    if (may_fall_back_ && !thread.by_timer && SwitchesTooOften(tid, thread)) {
      for_timers.push_back(tid);
      continue;
    }
    const Expiry expiry = NextExpiry(sampler->engine);
    sampler->period = expiry.period;
    sampler->credit.level_next = true;
    sampler->source->Start(expiry.first, expiry.period);
  }
  for (const pid_t tid : for_timers) ChangeToTimer(tid);
}

// The kernel switches a thread's perf event with it: 2.4 us for each time that it is put on a CPU
// (on a virtual machine), which makes two threads that take turns half as fast. Too much is half a
// percent of a CPU, or more than the signals cost.
bool Sampler::SwitchesTooOften(pid_t tid, Thread& thread) const {
  constexpr double kPerSecond = 2000;
  constexpr double kPerPeriod = 20;
  const std::optional<int64_t> switches = ReadThreadSwitches(tid);
  if (!switches.has_value()) return false;
  const auto now = std::chrono::steady_clock::now();
  const int64_t before = std::exchange(thread.switches, *switches);
  const std::chrono::duration<double> time = now - std::exchange(thread.switches_at, now);
  const double most =
      std::max(kPerSecond, kPerPeriod * 1e9 / static_cast<double>(options_.period_ns));
  return before >= 0 && static_cast<double>(*switches - before) > most * time.count();
}

// For good. The new one is there before the old one goes: should it be refused, all stays as it is.
void Sampler::ChangeToTimer(pid_t tid) {
  Thread& thread = threads_[tid];
  thread.by_timer = true;
  Thread changed = thread;
  if (!TryArm(tid, CountFrom::kNow, changed).ok()) return;
  const CpuEngine old = thread.sampler->engine;
  if (--armed_by_[old] == 0) armed_by_.erase(old);
  ++armed_by_[changed.sampler->engine];
  Disarm(thread);
  thread = changed;
  if (counts_.fallback.empty()) {
    counts_.fallback =
        "Some threads were sampled by timers, which the kernel looks at in its tick only: they are "
        "put on a CPU so often that to switch perf events with them would take too long.";
  }
}

void Sampler::Disarm(Thread& thread) {
  ThreadSampler* const sampler = std::exchange(thread.sampler, nullptr);
  if (sampler == nullptr) return;
  sampler->final_count = sampler->source->Count();
  sampler->source = nullptr;
  // seq_cst: pair with the handler's; see the protocol in thread_sampler.h.
  sampler->armed_as.store(0, std::memory_order_seq_cst);
  while (sampler->handlers.load(std::memory_order_seq_cst) != 0) {
    // The thread was preempted in its handler, or runs it on another CPU.
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  // release: pairs with the acquire in ForEachThread()
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
  // release: pairs with the acquire in ForEachThread()
  if (sampler != nullptr) records_used_.store(index + 1, std::memory_order_release);
  return sampler;
}

void Sampler::ForEachThread(absl::FunctionRef<void(ThreadSampler&, bool)> visit) {
  // acquire: pairs with the release in AcquireRecord()
  const size_t used = records_used_.load(std::memory_order_acquire);
  for (size_t i = 0; i < used; ++i) {
    ThreadSampler& sampler = *thread_samplers.At(i);
    // acquire: pairs with the releases in TryArm() and Disarm()
    const ThreadSampler::State state = sampler.state.load(std::memory_order_acquire);
    if (state == ThreadSampler::State::kFree) continue;
    const bool ended = state == ThreadSampler::State::kEnded;
    visit(sampler, ended);
    if (!ended) continue;
    DeleteProfBuf(std::exchange(sampler.buffer, nullptr));
    delete std::exchange(sampler.rules, nullptr);
    const std::lock_guard lock(mutex_);
    sampler.state.store(ThreadSampler::State::kFree, std::memory_order_relaxed);  // relaxed: mutex_
    free_records_.push_back(&sampler);
  }
}

std::optional<int64_t> Sampler::CountOf(const ThreadSampler& thread) {
  const std::lock_guard lock(mutex_);
  return CountNow(thread);
}

int64_t Sampler::Owed() const {
  const std::lock_guard lock(mutex_);
  int64_t owed = 0;
  for (size_t i = 0; i < records_used_.load(std::memory_order_relaxed); ++i) {  // relaxed: mutex_
    const ThreadSampler& thread = *thread_samplers.At(i);
    // relaxed: the writer task frees, and the mutex is held by whoever arms and disarms
    const bool free = thread.state.load(std::memory_order_relaxed) == ThreadSampler::State::kFree;
    if (free || !thread.timed) continue;
    const std::optional<int64_t> count = CountNow(thread);
    if (count.has_value()) owed += *count - thread.credit.given;
  }
  return owed;
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
  VaryPeriods();
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
  return thread.sampler != nullptr && thread.sampler->source->ThreadGone();
}

void Sampler::FindUnknownStacks() {
  std::vector<ProcMapping> mappings;
  const size_t used = records_used_.load(std::memory_order_acquire);  // acquire: as ForEachThread
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
