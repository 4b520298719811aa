// SPDX-License-Identifier: Apache-2.0
//
// ThreadState: the runtime's thread-local variables, all of them, in one place that a signal
// handler may read: initial-exec, so that no access allocates or locks, and constant-initialised.
#pragma once

#include <atomic>

#include "runtime/stack_bounds.h"
#include "runtime/tag.h"

namespace curg::internal {

class Context;
class CpuMeter;
class Task;
class Worker;

// Written by the thread itself (relaxed: the only other reader is a handler on the same thread, for
// which program order, kept by signal fences, is enough).
struct ThreadState {
  std::atomic<Task*> current{nullptr};
  std::atomic<Task*> left{nullptr};             // whose stack this thread was on before the current
                                                // one's
  std::atomic<Worker*> worker{nullptr};         // null for a plain thread, and while its task is in
                                                // Blocking
  std::atomic<const Context*> called{nullptr};  // the flow on the system stack, in OnSystemStack
  Worker* self = nullptr;                       // the worker this thread is, also while in Blocking
  uint64_t random = 0;                         // state of RandomBelow (caller.h); 0: not seeded yet
  CpuMeter* meter = nullptr;                   // of a worker; the thread's own alone
  std::atomic<const Tag*> plain_tag{nullptr};  // of a thread that runs no task
  StackBounds system_stack;                    // empty: unknown
  bool known = false;                          // registered in thread_registry.h
};

// This thread's state. The address is good until the task parks, and no longer.
// Never inlined, with a barrier: a task resumes on another thread, where a cached address would be
// somebody else's.
// Async-signal-safe.
ThreadState& ThisThread();

// The worker this thread is, and the task it runs; null for a plain thread. A worker whose task is
// in Blocking has no processor to use, and counts as none. As ThisThread: asked anew after
// everything that can park.
// Async-signal-safe.
Worker* CurrentWorker();
Task* CurrentTask();

// The task that a wait here parks. Null where the thread itself waits: on a plain thread, and in
// Blocking.
Task* TaskToPark();

}  // namespace curg::internal
