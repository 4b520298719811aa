// SPDX-License-Identifier: Apache-2.0
#include "runtime/fork_guard.h"

#include <pthread.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

std::atomic<bool> g_in_child{false};

// On the child's only thread, which is no worker any more, whatever stack it is on.
void OnFork() {
  g_in_child.store(true, std::memory_order_relaxed);
  ThreadState& thread = ThisThread();
  thread.worker.store(nullptr, std::memory_order_relaxed);
  thread.current.store(nullptr, std::memory_order_relaxed);
  thread.called.store(nullptr, std::memory_order_relaxed);
  thread.self = nullptr;
  thread.meter = nullptr;
}

}  // namespace

void GuardForks() {
  static const bool guarded = pthread_atfork(nullptr, nullptr, &OnFork) == 0;
  (void)guarded;
}

bool InForkedChild() { return g_in_child.load(std::memory_order_relaxed); }

absl::Status CheckNotForked() {
  if (!InForkedChild()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this process was forked from one with a runtime, whose threads it does not have; exec a "
      "program, or fork before "
      "the first runtime is created");
}

void FatalInForkedChild(const char* what) {
  std::fprintf(stderr,
               "curg: a process that was forked from one with a runtime %s; the runtime's threads "
               "are not in it: exec a "
               "program, or end by _exit\n",
               what);
  std::abort();
}

}  // namespace curg::internal
