// SPDX-License-Identifier: Apache-2.0
//
// TaskLocal: a variable of which every task has its own, wherever it runs.
//
//   curg::TaskLocal<Random> random;                            // made at first use in each task
//   curg::TaskLocal<RequestId> request(curg::Inherit::kCopy);  // children begin with a copy
//
//   request.Set(id);
//   curg::Go([] { Log(request.Get()); });
//
// Use it where a thread_local variable would be wrong: a task changes threads. For what profiles
// and dumps should show, use labels (labels/labels.h) instead.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "runtime/task_locals.h"

namespace curg {

// Whether a task begins with its spawner's value.
enum class Inherit : uint8_t {
  kNo,    // it begins without one
  kCopy,  // Go and its kin copy the value (on the spawner; what the copy throws, Go throws)
};

// A task's value lives until the task ends: after its callable and, if it is detached, its result
// have been destroyed, on its own stack and before a join returns, so that destructors may use
// everything that a task may, these variables included. Values of abandoned tasks are leaked with
// them. A plain thread has values of its own, which live as long as the thread; tasks that it
// starts inherit from it. The address of a value stays good while the value lives, across parks
// too. Access takes constant time: a few nanoseconds. A task that uses none pays nothing.
//
// Meant for static storage. One that is destroyed leaves the values that tasks still have alone.
// Thread-safe: each task and thread sees its own value only. Blocks: nothing, but for T's own
// doing.
template <typename T>
class TaskLocal {
 public:
  TaskLocal() = default;
  explicit TaskLocal(Inherit inherit) requires std::copy_constructible<T>
      : kind_(inherit == Inherit::kCopy ? &kInherited : &kPlain) {}
  TaskLocal(const TaskLocal&) = delete;
  TaskLocal& operator=(const TaskLocal&) = delete;

  // The value; T() if there is none yet.
  T& Get() requires std::default_initializable<T> {
    T* const value = Find();
    return value != nullptr ? *value : *Put(new T());
  }
  T& operator*() requires std::default_initializable<T> { return Get(); }
  T* operator->() requires std::default_initializable<T> { return &Get(); }

  // The value, or null if there is none.
  T* Find() const { return static_cast<T*>(internal::FindTaskLocal(index_)); }

  // Replaces the value by a new one; the former is destroyed.
  T& Set(T value) { return *Put(new T(std::move(value))); }

  // Destroys the value, if there is one.
  void Reset() { internal::SetTaskLocal(index_, nullptr, kind_); }

 private:
  static void Destroy(void* value) noexcept { delete static_cast<T*>(value); }
  static void* Copy(const void* value) {
    if constexpr (std::copy_constructible<T>) {
      return new T(*static_cast<const T*>(value));
    } else {
      return nullptr;  // never asked
    }
  }
  static constexpr internal::TaskLocalKind kPlain = {.destroy = &Destroy, .copy = nullptr};
  static constexpr internal::TaskLocalKind kInherited = {.destroy = &Destroy, .copy = &Copy};

  T* Put(T* value) {
    internal::SetTaskLocal(index_, value, kind_);
    return value;
  }

  const uint32_t index_ = internal::NewTaskLocalIndex();
  const internal::TaskLocalKind* const kind_ = &kPlain;
};

}  // namespace curg
