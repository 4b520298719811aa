// SPDX-License-Identifier: Apache-2.0
//
// SignalStorm: a source of samples for tests that is not held to the kernel's tick. A thread of its
// own sends each of the runtime's threads the SIGPROF that a CPU timer would send, ticket and all,
// as often as it is told, and reads their prof buffers as the writer task would. So all that lies
// between is the profiler's own: the handler, the walk, the ring.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "profiler/prof_buf.h"
#include "profiler/thread_sampler.h"

namespace curg::internal {

class SignalStorm {
 public:
  struct Options {
    int rate_hz = 0;  // of each thread, at most; 0: as fast as one thread can send
    size_t depth_max = 128;
    size_t buffer_bytes = 1 << 20;
  };
  // Hears of each sample, on the storm's thread. The tag is the storm's.
  using Visit = std::function<void(const ProfHeader&, std::span<const uintptr_t>)>;

  // Starts at once. No profile may be running, nor begin.
  SignalStorm(const Options& options, Visit visit);
  ~SignalStorm() { Stop(); }
  SignalStorm(const SignalStorm&) = delete;
  SignalStorm& operator=(const SignalStorm&) = delete;

  // Returns when every sample has been visited.
  void Stop();

  // Samples visited so far.
  // Thread-safe.
  int64_t samples() const { return samples_.load(std::memory_order_relaxed); }
  int64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  struct Target {
    pid_t tid = 0;
    ThreadSampler* sampler = nullptr;
    std::vector<uint64_t> words;
    std::unique_ptr<ProfBuf> buffer;
    RuleCache rules;
  };

  void Run();
  void SendToAll();
  void SendTo(pid_t tid);
  Target& TargetOf(pid_t tid);
  void Drain(ProfBuf& buffer);

  const Options options_;
  const Visit visit_;
  std::vector<std::unique_ptr<Target>> targets_;  // of the thread
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> samples_{0};
  std::atomic<int64_t> lost_{0};
  std::thread thread_;
};

}  // namespace curg::internal
