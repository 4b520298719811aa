// SPDX-License-Identifier: Apache-2.0
//
// Tasks of several kinds that switch, migrate, relabel, spawn, throw, block, call the system stack
// and exit as fast as they can, sampled as fast as a SignalStorm can; and a check of every single
// sample.
#pragma once

#include <cstdint>
#include <string>

namespace curg::internal {

struct LabelStormCounts {
  int64_t samples = 0;      // of user tasks
  int64_t runtime = 0;      // of the scheduler and the runtime's own tasks, besides
  int64_t lost = 0;         // found no room in a buffer, besides
  int64_t labelled = 0;     // those of `samples` that have the label that all tasks have always
  int64_t wrong = 0;        // not the label of that task, or of the function it was in
  int64_t mixed = 0;        // frames of two kinds of tasks in one stack
  int64_t switches = 0;     // in a switch
  int64_t whole = 0;        // stacks up to the task's root
  int64_t tasks = 0;        // started
  int64_t phases = 0;       // labels changed
  std::string first_wrong;  // what it was
};

// Until at least `samples` samples of user tasks were taken.
LabelStormCounts RunLabelStorm(int workers, int64_t samples);

}  // namespace curg::internal
