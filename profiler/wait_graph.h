// SPDX-License-Identifier: Apache-2.0
//
// The wait-for graph of a task profile: who waits for whom, and in circles.
#pragma once

#include <cstddef>
#include <vector>

#include "profiler/task_profile.h"

namespace curg {

// Tasks each of which waits for the next, and the last for the first: a deadlock of a part of the
// program, which nothing but a deadline or a stop request can end. Edges are known of joins, of
// mutexes in debug builds and since KeepMutexOwners(true) (runtime/sync/mutex.h), and of channels
// whose ends were declared (runtime/sync/channel_ends.h); of selects they are not. Numbers are
// indexes in profile.tasks; each circle begins with its lowest id. Thread-safe. Blocks: nothing;
// linear in the number of tasks.
std::vector<std::vector<size_t>> WaitCycles(const TaskProfile& profile);

}  // namespace curg
