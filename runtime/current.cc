// SPDX-License-Identifier: Apache-2.0
#include "runtime/current.h"

#include "runtime/context.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

constinit thread_local ThreadState g_thread_state __attribute__((tls_model("initial-exec")));

Where::Stack ClassifyWithTask(const Registers& registers, const ThreadState& thread,
                              const Task& task) {
  if (Context::IsSwitching(registers.pc)) return Where::Stack::kSwitch;
  if (task.context.stack().Contains(registers.sp)) return Where::Stack::kTask;
  // The next task is named and its stack not reached yet, or the scheduler's is and the task not
  // cleared yet.
  if (thread.system_stack.Contains(registers.sp)) {
    const bool called = thread.called.load(std::memory_order_relaxed) != nullptr;
    return called ? Where::Stack::kCalled : Where::Stack::kSwitch;
  }
  const Task* left = thread.left.load(std::memory_order_relaxed);  // relaxed: see ThreadState
  if (left != nullptr && left->context.stack().Contains(registers.sp)) return Where::Stack::kSwitch;
  return Where::Stack::kOther;
}

}  // namespace

__attribute__((noinline)) ThreadState& ThisThread() {
  asm volatile("" ::: "memory");
  return g_thread_state;
}

[[gnu::hot]] Where WhereAmI(const Registers& registers) noexcept {
  const ThreadState& thread = ThisThread();
  Where where;
  where.known_thread = thread.known;
  const Task* task = thread.current.load(std::memory_order_relaxed);  // relaxed: see ThreadState
  if (task == nullptr) {
    where.tag = thread.plain_tag.load(std::memory_order_relaxed);
    if (thread.system_stack.Contains(registers.sp)) {
      where.stack = Where::Stack::kSystem;
      where.bounds = thread.system_stack;
    }
    return where;
  }
  where.runtime_task = task->runtime_task;
  where.task_id = task->id;
  where.spawn = task->spawn_stack != 0 ? task->spawn_stack : task->spawn_pc;
  where.tag = task->tag.load(std::memory_order_relaxed);
  where.stack = ClassifyWithTask(registers, thread, *task);
  if (where.stack == Where::Stack::kTask) where.bounds = task->context.stack();
  if (where.stack == Where::Stack::kCalled) {
    where.bounds = thread.called.load(std::memory_order_relaxed)->stack();
    where.task_registers = task->context.Saved();
    where.task_bounds = task->context.stack();
  }
  return where;
}

__attribute__((noinline)) Worker* CurrentWorker() {
  asm volatile("" ::: "memory");
  return g_thread_state.worker.load(std::memory_order_relaxed);  // relaxed: see ThreadState
}

__attribute__((noinline)) Task* CurrentTask() {
  asm volatile("" ::: "memory");
  return g_thread_state.current.load(std::memory_order_relaxed);  // relaxed: see ThreadState
}

__attribute__((noinline)) Task* TaskToPark() {
  asm volatile("" ::: "memory");
  const bool has_processor = g_thread_state.worker.load(std::memory_order_relaxed) != nullptr;
  return has_processor ? g_thread_state.current.load(std::memory_order_relaxed) : nullptr;
}

}  // namespace curg::internal
