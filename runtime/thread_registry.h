// SPDX-License-Identifier: Apache-2.0
//
// The threads the runtime knows, and the door through which others hear of them.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <sys/types.h>

#include <cstdint>

#include "runtime/stack_bounds.h"

namespace curg::internal {

struct ThreadState;

enum class ThreadKind : uint8_t {
  kWorker,   // runs user tasks
  kService,  // runs the runtime's own tasks
};

// A thread of the runtime's. Lives as long as the thread.
struct KnownThread {
  ThreadKind kind = ThreadKind::kWorker;
  pid_t tid = 0;
  pthread_t handle = {};
  StackBounds system_stack;
  const ThreadState* state = nullptr;  // of which others may read the current task
  // Belongs to the one observer; the runtime only carries it.
  void* observer_data = nullptr;
};

// Hears of every known thread's begin and end.
class ThreadObserver {
 public:
  // On the thread itself, SIGPROF blocked, its alternate signal stack in place, before it runs
  // tasks.
  // Blocks: the thread.
  virtual void OnThreadBegin(KnownThread& thread) = 0;
  // On the thread itself, SIGPROF blocked until it is gone, after its last task.
  virtual void OnThreadEnd(KnownThread& thread) = 0;

 protected:
  ~ThreadObserver() = default;
};

// Installs the one observer of the process, and calls OnThreadBegin for every thread there is, from
// the caller's thread; those calls and later ones never overlap. `observer` must live for ever.
// Installing a second one is a bug.
// Thread-safe. Not async-signal-safe: takes a lock. Blocks: the thread.
void SetThreadObserver(ThreadObserver* observer);

// Calls `visit(thread)` for each known thread; none begins or ends meanwhile.
// Thread-safe. Blocks: the thread.
void ForEachKnownThread(void (*visit)(KnownThread& thread, void* arg), void* arg);

// Registers the calling thread while it lives, gives it an alternate signal stack, and keeps
// SIGPROF blocked while it is being set up and torn down. Owner only: the thread.
class ScopedKnownThread {
 public:
  explicit ScopedKnownThread(ThreadKind kind);
  ~ScopedKnownThread();
  ScopedKnownThread(const ScopedKnownThread&) = delete;
  ScopedKnownThread& operator=(const ScopedKnownThread&) = delete;

  KnownThread& thread() { return thread_; }

 private:
  KnownThread thread_;
  stack_t signal_stack_ = {};
  stack_t previous_signal_stack_ = {};  // a sanitizer's, say
};

}  // namespace curg::internal
