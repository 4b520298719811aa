// SPDX-License-Identifier: Apache-2.0
//
// Sampler: gives every thread of the process its own CPU timer and prof buffer while a profile
// runs. Chapter 1 of the life of a sample (profiler/README.md).
//
// Threads the runtime knows are armed when the profile starts or when they begin, and disarmed by
// themselves when they end. All others are armed from outside: the writer task looks for them every
// 100 ms, and for where their stacks are. A thread is never counted twice: the map below has one
// entry a thread id, and a thread that becomes known drops what the scan had armed for it.
//
// In a forked child there are no timers, and no signals come; the child must not use the profiler
// (cpu_profiler.h refuses it). The kernels we support do not restart fork because of a CPU timer's
// signal, so nothing needs to be blocked around it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "profiler/cpu_engine.h"
#include "profiler/sample_source.h"
#include "profiler/thread_sampler.h"
#include "runtime/thread_registry.h"

namespace curg::internal {

struct SamplerOptions {
  int64_t period_ns = 10'000'000;
  size_t depth_max = 128;
  CpuEngine engine = CpuEngine::kAuto;
};

// How the arming went, since Start.
struct SamplerCounts {
  int64_t threads = 0;          // armed
  int64_t threads_refused = 0;  // not armed
  std::string refusal;          // why, of the first
  CpuEngine chosen = CpuEngine::kTimer;
  std::string engine;        // what was used: its name, or names and on how many threads each
  std::string fallback;      // why it is not a better one, in a sentence; empty: it is the best
  std::string scan_failure;  // why foreign threads could not be found; empty: they could
};

// From when on a thread's CPU time counts.
enum class CountFrom : uint8_t { kNow, kBirth };

class Sampler final : public ThreadObserver {
 public:
  // Signals a second of CPU that come at most; the kernel's tick bounds those of timers.
  static int64_t SignalHzMax(const SamplerOptions& options);

  // The process's one sampler. Never destroyed: a late signal may come at any time.
  static Sampler& Get();

  // Installs the handler, chooses the engine, and arms every thread there is. Threads that the
  // kernel refuses are counted and left alone. Errors: those of the engine that was asked for, if
  // the calling thread cannot have it.
  // Requires: stopped. Owner only: the profiler. Blocks: the thread.
  absl::Status Start(const SamplerOptions& options);

  // Arms threads that are new, and forgets those that are gone. What a new one has used since its
  // birth is credited to its first samples.
  // Owner only: the writer task. Blocks: the thread.
  void ScanThreads();

  // Looks up the bounds of stacks that handlers met and did not know.
  // Owner only: the writer task. Blocks: the thread.
  void FindUnknownStacks();

  // Calls `visit(thread, ended)` with each thread whose buffer may hold records, and frees those of
  // threads that have ended, once they are visited.
  // Owner only: the writer task; `visit` may read the buffer.
  void ForEachThread(absl::FunctionRef<void(ThreadSampler&, bool ended)> visit);

  // What the thread has used since it was armed; none where nobody can know any more.
  // Owner only: the writer task.
  std::optional<int64_t> CountOf(const ThreadSampler& thread);

  // What all threads have used beyond what they were given credit for, ended ones included until
  // they are visited. Of those that count time.
  // Owner only: the writer task.
  int64_t Owed() const;

  // Changes the rate of all threads, present and future.
  // Owner only: the writer task, which has read all buffers. Blocks: the thread.
  void SetPeriod(int64_t period_ns);

  // Disarms every thread. When it returns, no handler writes to any buffer, and the next
  // ForEachThread finds all that was written.
  // Owner only: the writer task. Blocks: the thread, while a handler is at work.
  void Stop();

  // Thread-safe.
  SamplerCounts counts() const;

  // Thread-safe.
  SamplerOptions options() const;

  void OnThreadBegin(KnownThread& thread) override;
  void OnThreadEnd(KnownThread& thread) override;

 private:
  struct Thread {
    bool known = false;
    bool worker = false;
    ThreadSampler* sampler = nullptr;  // null: refused, or ended
    int scans_since_end = -1;          // -1: it has not ended
    bool by_timer = false;             // by choice, although perf events are to be had
    int64_t switches = -1;             // when that was looked at last, and when that was
    std::chrono::steady_clock::time_point switches_at = {};
  };

  Sampler() = default;

  void ArmKnown(const KnownThread& thread);
  void ArmForeign(pid_t tid, CountFrom from);
  void Arm(pid_t tid, Thread thread, CountFrom from);
  absl::Status TryArm(pid_t tid, CountFrom from, Thread& thread);
  absl::Status ChooseEngine();
  absl::StatusOr<std::unique_ptr<SampleSource>> NewSource(pid_t tid, uint64_t ticket, bool by_timer,
                                                          CpuEngine& engine);
  struct Expiry {
    int64_t first;
    int64_t period;
  };
  Expiry NextExpiry(CpuEngine engine);
  void Credit(CountFrom from, Expiry expiry, ThreadSampler& sampler) const;
  void VaryPeriods();
  bool SwitchesTooOften(pid_t tid, Thread& thread) const;
  void ChangeToTimer(pid_t tid);
  void Disarm(Thread& thread);
  ThreadSampler* AcquireRecord();
  void ForgetGoneThreads(const std::vector<pid_t>& alive);
  bool IsGone(pid_t tid, Thread& thread, const std::vector<pid_t>& alive);

  mutable std::mutex mutex_;
  // guarded by mutex_
  bool running_ = false;
  bool observing_ = false;
  bool scanned_ = false;        // since Start: a thread that is new now is newly born
  SamplerOptions options_;      // with the engine that was chosen
  bool may_fall_back_ = false;  // to timers, thread by thread
  absl::flat_hash_map<CpuEngine, int64_t> armed_by_;
  SamplerCounts counts_;
  absl::flat_hash_map<pid_t, Thread> threads_;
  std::vector<ThreadSampler*> free_records_;
  uint32_t generation_ = 0;
  uint64_t random_state_ = 0;
  // written under mutex_
  std::atomic<size_t> records_used_{0};
};

}  // namespace curg::internal
