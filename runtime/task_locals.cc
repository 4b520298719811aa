// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_locals.h"

#include <atomic>
#include <utility>

#include "runtime/task_extra.h"
#include "runtime/thread_state.h"

namespace curg::internal {
namespace {

// A plain thread's, destroyed when it ends.
struct ThreadLocals {
  ~ThreadLocals() {
    // A destructor may set another, which makes a new table.
    while (locals != nullptr) delete std::exchange(locals, nullptr);
  }
  TaskLocals* locals = nullptr;
};

// Never inlined: the address must not outlive a park.
__attribute__((noinline)) TaskLocals*& PlainLocals() {
  static thread_local ThreadLocals locals;
  asm volatile("" ::: "memory");
  return locals.locals;
}

TaskLocals* CurrentLocals() {
  const Task* const task = CurrentTask();
  return task != nullptr ? task->locals() : PlainLocals();
}

TaskLocals& MakeCurrentLocals() {
  Task* const task = CurrentTask();
  TaskLocals*& locals = task != nullptr ? ExtraOf(*task, nullptr).locals : PlainLocals();
  if (locals == nullptr) locals = new TaskLocals;
  return *locals;
}

}  // namespace

void TaskLocals::Set(uint32_t index, void* value, const TaskLocalKind* kind) {
  if (index >= entries_.size()) entries_.resize(index + 1);
  const Entry former = std::exchange(entries_[index], {value, kind});
  if (former.value != nullptr) former.kind->destroy(former.value);
}

std::unique_ptr<TaskLocals> TaskLocals::Inherited() const {
  std::unique_ptr<TaskLocals> copies;
  for (uint32_t index = 0; index < entries_.size(); ++index) {  // copying may add some
    const Entry entry = entries_[index];
    if (entry.value == nullptr || entry.kind->copy == nullptr) continue;
    if (copies == nullptr) copies = std::make_unique<TaskLocals>();
    copies->entries_.resize(index + 1);
    copies->entries_[index] = {entry.kind->copy(entry.value), entry.kind};
  }
  return copies;
}

void TaskLocals::Clear() {
  for (bool more = true; more;) {
    more = false;
    for (uint32_t index = 0; index < entries_.size(); ++index) {
      const Entry entry = std::exchange(entries_[index], {});
      if (entry.value == nullptr) continue;
      entry.kind->destroy(entry.value);
      more = true;
    }
  }
}

uint32_t NewTaskLocalIndex() {
  static std::atomic<uint32_t> next{0};
  return next.fetch_add(1, std::memory_order_relaxed);  // relaxed: need only be distinct
}

void* FindTaskLocal(uint32_t index) {
  const TaskLocals* const locals = CurrentLocals();
  return locals != nullptr ? locals->Find(index) : nullptr;
}

void SetTaskLocal(uint32_t index, void* value, const TaskLocalKind* kind) {
  if (value == nullptr && FindTaskLocal(index) == nullptr) return;
  try {
    MakeCurrentLocals().Set(index, value, kind);
  } catch (...) {  // memory for the table; destructors do not throw
    if (value != nullptr) kind->destroy(value);
    throw;
  }
}

std::unique_ptr<TaskLocals> InheritTaskLocals() {
  const TaskLocals* const locals = CurrentLocals();
  return locals != nullptr ? locals->Inherited() : nullptr;
}

void ClearTaskLocals(Task& task) noexcept {
  // While destructors run they still find each other's values; what they set is in the same table.
  TaskExtra& extra = *task.extra();
  extra.locals->Clear();
  delete std::exchange(extra.locals, nullptr);
}

}  // namespace curg::internal
