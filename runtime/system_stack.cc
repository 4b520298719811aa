// SPDX-License-Identifier: Apache-2.0
#include "runtime/system_stack.h"

#include "runtime/task.h"
#include "runtime/thread_state.h"
#include "runtime/worker.h"

namespace curg::internal {

void RunOnSystemStack(TaskBody& body) {
  const ThreadState& thread = ThisThread();
  Task* const task = thread.current.load(std::memory_order_relaxed);  // relaxed, both: see
                                                                      // ThreadState
  if (task == nullptr || thread.called.load(std::memory_order_relaxed) != nullptr)
    return body.Run();
  thread.self->CallOnSystemStack(
      *task, [](void* arg) { static_cast<TaskBody*>(arg)->Run(); }, &body);
}

}  // namespace curg::internal
