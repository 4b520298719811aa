// SPDX-License-Identifier: Apache-2.0
//
// Scheduler: tasks, from NewTask to their end.
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/cpu_meter.h"
#include "runtime/fork_guard.h"
#include "runtime/joiner.h"
#include "runtime/park.h"
#include "runtime/roll_call.h"
#include "runtime/scheduler.h"
#include "runtime/task_extra.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

#ifdef CURG_TSAN
// The sanitizer ends at about 8100 fibers, ended ones that it still remembers included.
constexpr int kTasksMaxUnderTsan = 4000;
std::atomic<int> g_tasks_under_tsan{0};
#endif

std::atomic<uint64_t> g_next_id{1};
// The runtime's own tasks are numbered apart, so that the program's first task is task 1.
std::atomic<uint64_t> g_next_service_id{uint64_t{1} << 62};

}  // namespace

uint64_t Scheduler::NextId(Processor* processor) {
  // relaxed, all: ids need only be distinct
  if (config_.kind == ThreadKind::kService) {
    return g_next_service_id.fetch_add(1, std::memory_order_relaxed);
  }
  if (processor == nullptr) return g_next_id.fetch_add(1, std::memory_order_relaxed);
  if (processor->id_next == processor->id_limit) {
    processor->id_next = g_next_id.fetch_add(kIdsAtATime, std::memory_order_relaxed);
    processor->id_limit = processor->id_next + kIdsAtATime;
  }
  return processor->id_next++;
}

StackPool& Scheduler::PoolFor(size_t slot_size) {
  if (slot_size == config_.slot_size) return pool_;
  std::lock_guard lock(other_pools_lock_);
  auto found = other_pools_.find(slot_size);
  if (found == other_pools_.end()) {  // made first: without memory for it the map has no empty one
    auto made = std::make_unique<StackPool>(slot_size, config_.stacks_max);
    found = other_pools_.emplace(slot_size, std::move(made)).first;
  }
  return *found->second;
}

bool Scheduler::TrimMemory() {
  bool more = pool_.TrimUnused(config_.stacks_cached);
  more |= TaskSlab::Instance().TrimUnused();
  std::lock_guard lock(other_pools_lock_);
  for (auto& [slot_size, pool] : other_pools_) more |= pool->TrimUnused(/*keep=*/0);
  return more;
}

absl::Status Scheduler::ReserveStack(Task* task, size_t slot_size, Processor* processor) {
  task->context.set_stack({0, slot_size});
  if (processor == nullptr || slot_size != config_.slot_size) {
    size_t taken;
    return PoolFor(slot_size).TakeCredits(1, &taken);
  }
  StackSlot slot;
  absl::Status status = processor->stacks.Reserve(&slot);
  if (slot) task->context.set_stack(slot.usable());
  return status;
}

absl::StatusOr<Task*> Scheduler::NewTask(ThreadState& thread, const TaskOptions& options,
                                         uintptr_t spawn_pc) {
  size_t slot_size = config_.slot_size;
  if (options.stack_size != 0) {
    if (absl::Status status = SlotSizeFor(options.stack_size, &slot_size); !status.ok())
      return status;
  }
#ifdef CURG_TSAN
  if (g_tasks_under_tsan.fetch_add(1) >= kTasksMaxUnderTsan) {
    g_tasks_under_tsan.fetch_sub(1);
    return absl::ResourceExhaustedError(absl::StrCat("the thread sanitizer follows at most ",
                                                     kTasksMaxUnderTsan,
                                                     " tasks; start fewer at a time"));
  }
#endif
  Worker* const worker = thread.worker.load(std::memory_order_relaxed);
  Processor* const processor =
      worker != nullptr && &worker->scheduler == this ? worker->processor : nullptr;
  if (processor == nullptr) {
    if (absl::Status status = CheckNotForked(); !status.ok()) return status;
    if (stopping_.load(std::memory_order_relaxed)) {  // relaxed: whoever races with the end may
                                                      // come too late
      return absl::FailedPreconditionError(
          "the runtime has ended; start tasks before, or on another one");
    }
  }
  Task* task = nullptr;
  absl::Status status;
  try {
    task = processor != nullptr ? processor->tasks.Take() : TaskSlab::Instance().Take(1);
    if (!options.name.empty()) {
      ExtraOf(*task, processor != nullptr ? &processor->tasks : nullptr).name = options.name;
    }
    status = ReserveStack(task, slot_size, processor);
  } catch (const std::bad_alloc&) {
    status = absl::ResourceExhaustedError("no memory for a task's record, name or stack");
  }
  if (!status.ok()) {
#ifdef CURG_TSAN
    g_tasks_under_tsan.fetch_sub(1);
#endif
    if (task != nullptr) {
      DropExtra(*task, nullptr);
      task->context.set_stack({});
      TaskSlab::Instance().Return(task, task);
    }
    return status;
  }

  // relaxed: see ThreadState
  const Task* const spawner = thread.current.load(std::memory_order_relaxed);
  const Tag* tag;
  if (options.tag.has_value()) {
    tag = TagRef(*options.tag).release();
    if (tag != nullptr) tag->ShowRelease();
  } else {
    tag = (spawner != nullptr ? spawner->tag : thread.plain_tag).load(std::memory_order_relaxed);
    if (processor != nullptr) {
      processor->tags.Ref(tag);
    } else if (tag != nullptr) {
      tag->Ref();
    }
  }
  task->tag.store(tag, std::memory_order_relaxed);  // relaxed: published with the task
  if (tag != nullptr) CpuMeter::NoteTag();
  task->scheduler = this;
  task->cpu_ns.store(0, std::memory_order_relaxed);
  task->roll.store(RollCall::BornNow(), std::memory_order_relaxed);  // relaxed: published with the
                                                                     // task
  task->id = NextId(processor);
  task->spawner_id = spawner != nullptr ? spawner->id : 0;
  task->spawn_pc = spawn_pc;
  task->spawn_stack = 0;
  task->runtime_task = config_.kind == ThreadKind::kService;
  task->end.Reset();
  task->state.store(TaskState::kNew, std::memory_order_relaxed);
  if (processor != nullptr) {
    processor->counters.spawned.Add();
  } else {
    spawned_outside_.fetch_add(1, std::memory_order_relaxed);
  }
  return task;
}

uint64_t Scheduler::TasksAlive() const {
  uint64_t ended = ended_outside_.load(std::memory_order_relaxed);  // first: see Stats()
  for (size_t i = 0; i < count(); ++i) ended += processors_[i]->counters.ended.Get();
  uint64_t spawned = spawned_outside_.load(std::memory_order_relaxed);
  for (size_t i = 0; i < count(); ++i) spawned += processors_[i]->counters.spawned.Get();
  return spawned - ended;
}

void Scheduler::DropNewTask(Task* task) {
  ended_outside_.fetch_add(1, std::memory_order_relaxed);
  if (const Tag* tag = task->tag.exchange(nullptr, std::memory_order_relaxed)) tag->Unref();
  Worker* const worker = CurrentWorker();
  const StackBounds stack = task->context.stack();
  const StackSlot slot = task->HasStack() ? StackSlot::Of(stack) : StackSlot{};
  if (worker != nullptr && &worker->scheduler == this && stack.size() == config_.slot_size) {
    worker->processor->stacks.Unreserve(slot);
  } else if (slot) {
    PoolFor(slot.size).ReturnSlot(slot);
  } else {
    PoolFor(stack.size()).ReturnCredits(1);
  }
  task->context.set_stack({});
  DropExtra(*task, nullptr);
  task->state.store(TaskState::kFree, std::memory_order_relaxed);
#ifdef CURG_TSAN
  g_tasks_under_tsan.fetch_sub(1);
#endif
  TaskSlab::Instance().Return(task, task);
}

bool Scheduler::BeginsCold(const Processor& processor, const Task& task) const {
  if (task.HasStack()) return false;
  return task.context.stack().size() != config_.slot_size || !processor.stacks.HasSlot();
}

void Scheduler::BindStack(Processor& processor, Task* task) {
  if (task->HasStack()) return;  // a warm one was at hand when it was spawned
  const size_t size = task->context.stack().size();
  const StackSlot slot =
      size == config_.slot_size ? processor.stacks.Bind() : PoolFor(size).TakeSlot();
  task->context.set_stack(slot.usable());
}

void Scheduler::GiveUp(Processor& processor, Task* task) {
  const StackSlot slot = StackSlot::Of(task->context.stack());
  task->context.Finish();
  if (slot.size == config_.slot_size) {
    processor.stacks.Release(slot);
  } else {
    PoolFor(slot.size).ReturnSlot(slot);
  }
  processor.tags.Unref(task->tag.load(std::memory_order_relaxed));
  task->tag.store(nullptr, std::memory_order_relaxed);
  DropExtra(*task, &processor.tasks);
  task->state.store(TaskState::kEnded, std::memory_order_relaxed);
  processor.counters.ended.Add();
#ifdef CURG_TSAN
  g_tasks_under_tsan.fetch_sub(1);
#endif
}

[[gnu::flatten]] void Scheduler::FinishJoinedTask(Worker& worker, Task* task) {
  GiveUp(*worker.processor, task);
  task->end.FinishJoined();
}

[[gnu::flatten]] void Scheduler::FinishTask(Worker& worker, Task* task, uintptr_t joiner) {
  Processor& processor = *worker.processor;
  GiveUp(processor, task);
  const uintptr_t left = task->end.Finish(joiner);
  if (left == TaskEnd<>::kDetached) {
    task->state.store(TaskState::kFree, std::memory_order_relaxed);
    processor.tasks.Return(task);
  } else if (left != 0) {
    WakeJoiner(left);
  }
}

}  // namespace curg::internal
