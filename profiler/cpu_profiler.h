// SPDX-License-Identifier: Apache-2.0
//
// The CPU profiler. Start here.
//
//   absl::StatusOr<curg::CpuProfileSession> session = curg::StartCpuProfile();
//   if (!session.ok()) return session.status();
//   ... the work ...
//   curg::CpuProfile profile = session->Stop();   // export/ writes it as a file
//
// Every thread of the process is sampled by its own CPU timer, whether the runtime knows it or not;
// the samples of tasks carry the tag (labels) of the task that was current. Any number of profiles
// may be taken at once, each with its own start, stop, rate and filter: they share one sampler.
// profiler/README.md tells the life of a sample.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "profiler/cpu_engine.h"
#include "profiler/cpu_profile.h"
#include "runtime/tag.h"

namespace curg {

// Whether the CPU time of each label set is counted at every switch from one to another, or only
// sampled.
enum class LabelTotals {
  kExactIfCheap,  // counted; sampled while counting takes more than 1 % of a thread's CPU time,
                  // with a note that says how much that was
  kExact,         // counted; 25 ns a switch between tasks of different label sets
  kSampled,
};

struct CpuProfileOptions {
  static constexpr int kRateHzMax = 10'000;
  static constexpr int kDepthMax = 1024;
  static constexpr int kSpawnersMax = 4;

  // Samples a second of CPU, 1 to kRateHzMax; more while another profile asks for more. The kernel
  // looks at CPU timers only in its tick (100 to 1000 times a second); above that one sample stands
  // for several periods, and totals stay right.
  int rate_hz = 100;
  // Frames recorded a stack, 1 to kDepthMax; deeper ones end in the pseudo frame
  // curg::TruncatedStack.
  int depth_max = 128;
  // Below the first frame of a task, the stack that spawned it, and the stack that spawned that
  // one, so many in all; each begins with the pseudo frame curg::SpawnedBy, and has up to 16
  // frames. 0 to kSpawnersMax. Of a task that was spawned before the profile the spawn site alone
  // is known, unless spawn stacks were kept then (runtime/spawn_stack.h).
  int spawners = 0;
  // Tell samples of different tasks apart, by CpuProfileEntry::task_id; in pprof files that is the
  // numeric label "task_id". It splits what tasks have in common: a profile of many short ones may
  // need a larger map.
  bool task_ids = false;
  // Memory for distinct (stack, tag) pairs, in bytes; samples of more are counted in one entry,
  // curg::OverflowBucket.
  size_t map_bytes_max = 32 << 20;
  // How to sample; anything but kAuto forces it, and is an error where the kernel refuses it or
  // another profile uses another one. For kAuto the environment may say which: CURG_CPU_ENGINE is
  // an engine's name (cpu_engine.h), posix-cpu-timer say, and as binding as the option.
  CpuEngine engine = CpuEngine::kAuto;
  // Which samples to keep, by their tag (null: of tasks and threads without one); empty: all.
  // Called by the writer, on a thread of the runtime's: it must be quick, must not park or throw,
  // and must always say the same of one tag. export/label_filter.h says which labels a tag means.
  std::function<bool(const Tag*)> filter = nullptr;
  LabelTotals label_totals = LabelTotals::kExactIfCheap;
  // Who profiles, for the list of who does; empty: the caller's file and line.
  std::string holder = "";
};

// Where a call stands. (std::source_location as far as it is needed; clang 14 lacks that.)
struct CallSite {
  // As a default argument: where the function with that argument is called.
  static constexpr CallSite Here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }

  const char* file = "";
  int line = 0;
};

// A profile that is being taken. Destroying it stops and discards the profile.
// Thread-compatible; may be stopped by another task or thread than the one that started it.
class CpuProfileSession {
 public:
  CpuProfileSession(CpuProfileSession&&) noexcept;
  CpuProfileSession& operator=(CpuProfileSession&&) noexcept;
  ~CpuProfileSession();

  // Ends the profile and returns it. Every sample taken is in it. It does not wait for the
  // runtime's workers, which may all be held by tasks that never yield.
  // Once: a later call returns an empty profile (period_ns 0) whose quality says so.
  // Blocks: the task (or the plain thread), for about a millisecond.
  CpuProfile Stop();

 private:
  friend absl::StatusOr<CpuProfileSession> StartCpuProfile(const CpuProfileOptions&, CallSite);
  class Running;
  explicit CpuProfileSession(std::unique_ptr<Running> running);

  std::unique_ptr<Running> running_;  // null: stopped, or moved from
};

// Starts profiling the CPU time of the whole process. Works from tasks and from plain threads, with
// or without a runtime.
// Errors: INVALID_ARGUMENT: an option is out of its range, which the message names, or
//         CURG_CPU_ENGINE is no engine's name.
//         FAILED_PRECONDITION: a profile with another engine is running. Or this is a forked child,
//         where the profiler's threads do not exist.
//         PERMISSION_DENIED, UNAVAILABLE, UNIMPLEMENTED: the kernel refuses the engine that was
//         asked for; the message says why and what would help.
//         Others: the kernel refuses the signal handler.
// A thread whose timer the kernel refuses is no error, but counted and noted in the profile's
// quality. From the first start on, the process has a SIGPROF handler for good; SIGPROF that are
// not the profiler's go to the handler there was before.
// Thread-safe. Not async-signal-safe. Blocks: the task (or the plain thread), for some
// milliseconds.
absl::StatusOr<CpuProfileSession> StartCpuProfile(const CpuProfileOptions& options = {},
                                                  CallSite caller = CallSite::Here());

// Who profiles now, and since when: one line each, the longest first.
// Thread-safe. Not async-signal-safe. Blocks: nothing.
std::vector<std::string> RunningCpuProfiles();

}  // namespace curg
