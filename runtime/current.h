// SPDX-License-Identifier: Apache-2.0
//
// Who is running here? The first of the runtime's three doors; a signal handler may ask.
#pragma once

#include <cstdint>

#include "runtime/stack_bounds.h"

namespace curg {

class Tag;

namespace internal {

// What a signal handler learns about the thread it interrupted. Holds no references: valid until
// the handler returns.
struct Where {
  // Which stack the interrupted stack pointer was on.
  enum class Stack : uint8_t {
    kTask,    // the current task's own
    kSystem,  // the thread's: the scheduler, or code of a thread without a task
    kCalled,  // the system stack, called into by the current task (walk both, system stack first)
    kSwitch,  // in the few instructions of a switch: no walk would be true, name it instead
    kOther,   // none we know the bounds of (a nested handler, somebody's own stack)
  };

  Stack stack = Stack::kOther;
  bool known_thread = false;  // a worker or another thread of the runtime's
  bool runtime_task = false;  // the current task is the runtime's own (the profile writer, say)
  uint64_t task_id = 0;       // 0: no current task
  uintptr_t spawn = 0;        // its spawn stack's number (spawn_stack.h), or else the address of
                              // its spawn site
  const Tag* tag = nullptr;   // the current task's, or the plain thread's; may be null
  StackBounds bounds;         // of the stack the stack pointer is on; empty for kOther
  Registers task_registers;   // kCalled only: where the task left its own stack
  StackBounds task_bounds;    // kCalled only
};

// Describes this thread as of `registers`.
// Async-signal-safe. Owner only: a signal handler, about the thread it runs on. Blocks: nothing.
Where WhereAmI(const Registers& registers) noexcept;

}  // namespace internal
}  // namespace curg
