// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread_bound.h"

#include "runtime/caller.h"
#include "runtime/processor.h"
#include "runtime/thread_state.h"
#include "runtime/worker.h"

namespace curg::internal {

Stretch CurrentStretch() {
  const ThreadState& thread = ThisThread();
  if (thread.self == nullptr) return {.thread = &thread};
  const bool blocking = thread.worker.load(std::memory_order_relaxed) == nullptr;
  if (blocking) return {.thread = &thread, .tick = thread.self->blocking_tick};
  // relaxed: written by this thread, when it last took a task
  return {.thread = &thread, .tick = thread.self->processor->tick.load(std::memory_order_relaxed)};
}

void ThreadBoundMisuse() {
  FatalMisuse(
      "uses the address of a thread-local variable that it took before it was suspended, perhaps "
      "on "
      "another thread; ask for it again after every call that can park");
}

}  // namespace curg::internal
