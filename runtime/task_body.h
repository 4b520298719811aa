// SPDX-License-Identifier: Apache-2.0
//
// TaskBody: the part of a task that knows what the task was asked to do and what came of it.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace curg::internal {

// Storage for a callable before it runs and for its value afterwards; in place when small, so that
// a spawn allocates nothing.
// Owner only: the spawner until the task starts, then the task, then whoever joins it.
struct TaskBody {
  static constexpr size_t kInlineBytes = 64;

  // Runs the callable, and leaves its value or exception here. On the task's stack.
  void (*run)(TaskBody& body) noexcept = nullptr;
  // Destroys what is left: the callable that never ran, or the value nobody took. May be null.
  void (*drop)(TaskBody& body) noexcept = nullptr;
  std::exception_ptr exception;
  alignas(std::max_align_t) std::byte storage[kInlineBytes];

  void Drop() {
    if (drop != nullptr) std::exchange(drop, nullptr)(*this);
    exception = nullptr;
  }
};

// One T in a body's storage: in place if it fits, else on the heap.
template <typename T>
struct BodyCell {
  static constexpr bool kInline = sizeof(T) <= TaskBody::kInlineBytes &&
                                  alignof(T) <= alignof(std::max_align_t) &&
                                  std::is_nothrow_move_constructible_v<T>;

  template <typename... Args>
  static void Emplace(TaskBody& body, Args&&... args) {
    if constexpr (kInline) {
      ::new (body.storage) T(std::forward<Args>(args)...);
    } else {
      ::new (body.storage) T*(new T(std::forward<Args>(args)...));
    }
    body.drop = [](TaskBody& from) noexcept { Destroy(from); };
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
      ~Cleanup() { body.Drop(); }
    } cleanup{body};
    return std::move(Get(body));
  }

 private:
  static void Destroy(TaskBody& body) noexcept {
    if constexpr (kInline) {
      std::destroy_at(&Get(body));
    } else {
      delete &Get(body);
    }
  }
};

// What Join returns for a callable that returns T: references travel as pointers.
template <typename T>
using BodyValue =
    std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<std::remove_reference_t<T>>, T>;

// Puts `fn` into `body`, to be called once.
template <typename Fn, typename Result = std::invoke_result_t<std::decay_t<Fn>>>
void EmplaceCallable(TaskBody& body, Fn&& fn) {
  using Callable = std::decay_t<Fn>;
  BodyCell<Callable>::Emplace(body, std::forward<Fn>(fn));
  body.run = [](TaskBody& self) noexcept {
    try {
      Callable callable = BodyCell<Callable>::Take(self);
      if constexpr (std::is_void_v<Result>) {
        std::invoke(std::move(callable));
      } else if constexpr (std::is_reference_v<Result>) {
        BodyCell<BodyValue<Result>>::Emplace(self,
                                             std::addressof(std::invoke(std::move(callable))));
      } else {
        BodyCell<Result>::Emplace(self, std::invoke(std::move(callable)));
      }
    } catch (...) {
      self.exception = std::current_exception();
    }
  };
}

// Takes the value of a body whose task has ended, or rethrows its exception.
template <typename Result>
Result TakeResult(TaskBody& body) {
  if (body.exception) std::rethrow_exception(std::exchange(body.exception, nullptr));
  if constexpr (std::is_reference_v<Result>) {
    return static_cast<Result>(*BodyCell<BodyValue<Result>>::Take(body));
  } else if constexpr (!std::is_void_v<Result>) {
    return BodyCell<Result>::Take(body);
  }
}

}  // namespace curg::internal
