// SPDX-License-Identifier: Apache-2.0
//
// The ways to sample.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace curg {

enum class CpuEngine : uint8_t {
  // What the kernel permits, thread by thread: kPerf, or kTimer where that is refused, would not
  // see kernel time, or costs too much, as for threads that are put on a CPU thousands of times a
  // second. Why it is not kPerf is in the profile's notes.
  kAuto,
  // A POSIX timer on each thread's CPU clock. Needs no permission and sees kernel time, but the
  // kernel looks at it only in its tick (100 to 1000 times a second).
  kTimer,
  // perf_event's task clock, user and kernel time: as regular as it is asked for. Needs
  // kernel.perf_event_paranoid of 1 or less, or CAP_PERFMON; one file descriptor a thread.
  kPerf,
  // The same, but signals come in user code only; the time in the kernel is given to the samples
  // around it. Needs kernel.perf_event_paranoid of 2 or less.
  kPerfUser,
  // Hardware events in user code. What the profile counts is not time but these. Most virtual
  // machines have none.
  kCycles,
  kInstructions,
  kCacheMisses,
};

// "posix-cpu-timer", "perf-task-clock", "perf-task-clock-user", "perf-cycles" ...; "auto".
std::string EngineName(CpuEngine engine);

// What it counts: "cpu" (time), "cycles", "instructions", "cache-misses".
std::string EventName(CpuEngine engine);

// The engine of that name; none if there is no such.
std::optional<CpuEngine> EngineNamed(std::string_view name);

}  // namespace curg
