// SPDX-License-Identifier: Apache-2.0
//
// Explorer: runs a few threads one at a time and decides at every step of theirs who goes next, so
// that a test can go through all schedules with few preemptions, or through many random ones.
//
// A step is an operation on a primitive of primitives.h. Schedules are sequentially consistent:
// what a weak ordering may do is for the stress tests under the thread sanitizer to find.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace curg::model {

struct Options {
  // Go through all schedules with at most this many preemptions (switches away from a thread that
  // could go on; a deadline that strikes counts as one).
  int preemptions_max = 2;
  // Fail if that is more than this many.
  int64_t schedules_max = 500'000;
  // Then so many random schedules, without bound on preemptions.
  int random_schedules = 2000;
};

// Runs `scenario` once per schedule. It makes fresh objects and returns the bodies of the threads;
// what it captured lives until they have all ended. On a deadlock, a livelock, a touch of a
// destroyed primitive or a failed Expect the program says so, prints the schedule (a list of
// choices), and aborts. Returns how many schedules were run.
using Scenario = std::function<std::vector<std::function<void()>>()>;
int64_t Explore(const Options& options, const Scenario& scenario);

// Aborts with the schedule unless `condition` holds.
void Expect(bool condition, const char* what);

// --- For primitives.h. No effect outside Explore.

// Here another thread may go first.
void Step();
// As Step, for a thread that can do nothing until another makes progress.
void SpinStep();
// The running thread has changed something that others may spin on.
void Progress();
// Sleeps until *awake is set by another thread. With `may_time_out` also at any other moment: then
// false.
bool Sleep(const bool* awake, bool may_time_out);
// One of [0, n): every one is tried.
uint32_t Choose(uint32_t n);
// The running thread, from 0.
int Self();

}  // namespace curg::model
