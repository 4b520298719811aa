// SPDX-License-Identifier: Apache-2.0
//
// TaskLocals: the task-local variables of one task or plain thread. TaskLocal (task_local.h) is the
// typed face.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/task.h"

namespace curg::internal {

// What is known of a variable's type.
struct TaskLocalKind {
  void (*destroy)(void* value) noexcept;
  void* (*copy)(const void* value);  // null: children do not inherit it
};

// Values by the variable's index; made when a task sets its first one.
// Owner only: the task or plain thread; before it runs, its spawner.
class TaskLocals {
 public:
  TaskLocals() = default;
  TaskLocals(const TaskLocals&) = delete;
  TaskLocals& operator=(const TaskLocals&) = delete;
  // Destroys the values, in no particular order, those that destructors set meanwhile included.
  ~TaskLocals() { Clear(); }

  void* Find(uint32_t index) const {
    return index < entries_.size() ? entries_[index].value : nullptr;
  }

  // The value becomes the variable's; the former one is destroyed. Destructors may park.
  void Set(uint32_t index, void* value, const TaskLocalKind* kind);

  // What a child inherits; null: nothing. Throws what copying throws.
  std::unique_ptr<TaskLocals> Inherited() const;

  void Clear();

 private:
  struct Entry {
    void* value = nullptr;
    const TaskLocalKind* kind = nullptr;
  };

  std::vector<Entry> entries_;
};

// A number for a new variable. Thread-safe.
uint32_t NewTaskLocalIndex();

// Of the current task or plain thread. Set makes the first; `value` is destroyed if that throws.
void* FindTaskLocal(uint32_t index);
void SetTaskLocal(uint32_t index, void* value, const TaskLocalKind* kind);

// What a child of the caller inherits; null: nothing, and at no cost when the caller has no
// variables.
std::unique_ptr<TaskLocals> InheritTaskLocals();

void ClearTaskLocals(Task& task) noexcept;

// Destroys the variables of `task`, current and about to end. Destructors may park.
inline void EndTaskLocals(Task& task) noexcept {
  if (task.locals() != nullptr) [[unlikely]]
    ClearTaskLocals(task);
}

}  // namespace curg::internal
