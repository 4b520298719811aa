// SPDX-License-Identifier: Apache-2.0
//
// TaskBody: the part of a task that knows what the task was asked to do and what came of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace curg::internal {

// Storage for a callable before it runs and for its value or exception afterwards; in place when
// small, so that a spawn allocates nothing.
// Owner only: the spawner until the task starts, then the task, then whoever joins it.
struct TaskBody {
  static constexpr size_t kInlineBytes = 40;  // with `step` three quarters of a cache line

  // What is to be done with what is stored: a callable can be run, anything can be dropped. Either
  // leaves nothing, but what running makes of it.
  enum class Step : uint8_t { kRun, kDrop };

  alignas(std::max_align_t) std::byte storage[kInlineBytes];
  // Of what is stored; null: nothing.
  void (*step)(TaskBody& body, Step step) noexcept = nullptr;

  // Runs the callable, and leaves its value or exception here. On the task's stack.
  void Run() { step(*this, Step::kRun); }
  // Destroys what is left: the callable that never ran, or what came of it and nobody took.
  void Drop() {
    if (step != nullptr) step(*this, Step::kDrop);
  }
};

// One T in a body's storage: in place if it fits, else on the heap.
template <typename T>
struct BodyCell {
  static constexpr bool kInline = sizeof(T) <= TaskBody::kInlineBytes &&
                                  alignof(T) <= alignof(std::max_align_t) &&
                                  std::is_nothrow_move_constructible_v<T>;

  // Leaves `step` to the caller.
  template <typename... Args>
  static void Emplace(TaskBody& body, Args&&... args) {
    if constexpr (kInline) {
      ::new (body.storage) T(std::forward<Args>(args)...);
    } else {
      ::new (body.storage) T*(new T(std::forward<Args>(args)...));
    }
  }

  static T& Get(TaskBody& body) {
    if constexpr (kInline) {
      return *std::launder(reinterpret_cast<T*>(body.storage));
    } else {
      return **std::launder(reinterpret_cast<T**>(body.storage));
    }
  }

  // Moves the T out and destroys what remains.
  static T Take(TaskBody& body) {
    struct Cleanup {
      TaskBody& body;
      ~Cleanup() { Drop(body, TaskBody::Step::kDrop); }
    } cleanup{body};
    return std::move(Get(body));
  }

  // The step of a T that cannot be run.
  static void Drop(TaskBody& body, TaskBody::Step) noexcept {
    body.step = nullptr;
    if constexpr (kInline) {
      std::destroy_at(&Get(body));
    } else {
      delete &Get(body);
    }
  }
};

// An exception that the callable has thrown; told from a value of that type by its step.
void DropException(TaskBody& body, TaskBody::Step) noexcept;
void KeepException(TaskBody& body, std::exception_ptr exception) noexcept;
[[noreturn]] void RethrowException(TaskBody& body);

// What Join returns for a callable that returns T: references travel as pointers.
template <typename T>
using BodyValue =
    std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<std::remove_reference_t<T>>, T>;

// Puts what calling `callable` returns into the empty `body`.
template <typename Result, typename Callable>
void CallInto(TaskBody& body, Callable&& callable) {
  if constexpr (std::is_void_v<Result>) {
    std::invoke(std::move(callable));
  } else {
    using Cell = BodyCell<BodyValue<Result>>;
    if constexpr (std::is_reference_v<Result>) {
      Cell::Emplace(body, std::addressof(std::invoke(std::move(callable))));
    } else {
      Cell::Emplace(body, std::invoke(std::move(callable)));
    }
    body.step = &Cell::Drop;
  }
}

// Puts `fn` into the empty `body`, to be called once.
template <typename Fn, typename Result = std::invoke_result_t<std::decay_t<Fn>>>
void EmplaceCallable(TaskBody& body, Fn&& fn) {
  using Callable = std::decay_t<Fn>;
  BodyCell<Callable>::Emplace(body, std::forward<Fn>(fn));
  body.step = [](TaskBody& self, TaskBody::Step step) noexcept {
    if (step == TaskBody::Step::kDrop) return BodyCell<Callable>::Drop(self, step);
    try {
      Callable callable = BodyCell<Callable>::Take(self);
      CallInto<Result>(self, std::move(callable));
    } catch (...) {
      KeepException(self, std::current_exception());
    }
  };
}

// Takes the value of a body whose task has ended, or rethrows its exception.
template <typename Result>
Result TakeResult(TaskBody& body) {
  if (body.step == &DropException) RethrowException(body);
  if constexpr (std::is_reference_v<Result>) {
    return static_cast<Result>(*BodyCell<BodyValue<Result>>::Take(body));
  } else if constexpr (!std::is_void_v<Result>) {
    return BodyCell<Result>::Take(body);
  }
}

}  // namespace curg::internal
