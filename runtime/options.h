// SPDX-License-Identifier: Apache-2.0
//
// RuntimeOptions and TaskOptions: what can be chosen when a runtime or a task starts.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "runtime/tag.h"

namespace curg {

inline constexpr size_t kDefaultStackSize = size_t{256} << 10;  // bytes of address space

// What happens when all tasks are asleep and nothing in the runtime can wake them (reporter.h).
enum class DeadlockAction : uint8_t {
  // If nobody else in the process can, either, it is reported and the process exits with status 2.
  // If threads outside of the runtime might, there is one report after
  // RuntimeOptions::deadlock_warning, and none if such a thread ever woke a task before.
  kDefault,
  kFatal,  // reported and fatal, even if a plain thread might wake a task yet
  kWarn,   // as kDefault, but never fatal
  kNone,
};

struct RuntimeOptions {
  // Threads that run tasks. Unset: the environment variable CURG_WORKERS; without it, the CPUs in
  // the affinity mask, no more than the cgroup's CPU quota (rounded up), followed once a second
  // when these change. Must be 1 to 1024.
  std::optional<int> workers = {};

  // Stack of a task that does not say otherwise, in bytes of address space; memory is committed as
  // it is touched. Rounded up to a power of two; 16 KiB to 1 GiB.
  size_t stack_size = kDefaultStackSize;

  // At most this many default stacks, so at most this many tasks alive. 0: as many as the address
  // space holds.
  size_t stacks_max = 0;

  // Stacks of ended tasks that keep their memory for the next ones; what more there is and has not
  // been used for a second goes back to the kernel.
  size_t stacks_cached = 1024;

  // At most so many calls of Blocking at a time, each of which has a thread; more wait their turn.
  // 1 to 65536.
  int blocking_max = 512;

  // A task that keeps its worker for longer than this, without parking, yielding or ending, is
  // reported (reporter.h). 0: none is; else at least 1 ms. Unset: the environment variable
  // CURG_LONG_SLICE_MS; without it 25 ms, but only if other tasks had to wait meanwhile.
  std::optional<std::chrono::nanoseconds> long_slice = {};

  // No more reports of long slices than this in a minute; the others are counted.
  int long_slices_a_minute = 5;

  // For tests: time stands still while anything runs, and jumps to the next timer when every task
  // waits, none of them for I/O, and none is in Blocking. Timeouts of hours are over at once, in
  // the order of their times. The program's tasks read the time with curg::Now(); it begins at the
  // steady clock's. One worker only.
  bool virtual_time = false;

  // For tests: tasks run in an order drawn at random, the same one for the same seed where there is
  // one worker and nothing comes from outside. Unset or 0: the environment variable
  // CURG_SCHEDULE_SEED, a number, or "random" for another one in each process; without it, the
  // usual order. The seed is printed on standard error, to be used again: at the start, and once
  // more when the process ends with another status than 0, as after a failed test, or dies. No
  // worker comes in place of one that is held then, with virtual time neither: a task must not spin
  // until another runs.
  std::optional<uint64_t> schedule_seed = {};

  DeadlockAction deadlock = DeadlockAction::kDefault;
  std::chrono::nanoseconds deadlock_warning = std::chrono::seconds(10);

  // Tasks that have not ended when the runtime does are leaks: they are reported (reporter.h), with
  // where they were spawned and what they wait for. By Shutdown always; this way also when the
  // runtime is destroyed, and when curg::Run returns.
  bool report_abandoned = false;
};

struct TaskOptions {
  // Shown in dumps and reports. Copied.
  std::string_view name = {};

  // As RuntimeOptions::stack_size, for this task. 0: the runtime's.
  size_t stack_size = 0;

  // The task's tag (labels). Unset: inherited from the caller. An empty TagRef: none.
  std::optional<TagRef> tag = {};
};

}  // namespace curg
