// SPDX-License-Identifier: Apache-2.0
//
// ThreadBound: a pointer to something of this thread's, which must not be kept across a suspension.
//
//   thread_local Cache t_cache;
//   [[gnu::noinline]] curg::ThreadBound<Cache> MyCache() {
//     asm volatile("");  // or the compiler takes two calls for one
//     return curg::ThreadBound(t_cache);
//   }
//
//   auto cache = MyCache();
//   cache->Add(1);       // fine
//   channel.Send(2);     // may park: the task may go on on another thread
//   cache->Add(3);       // aborts in debug builds, naming the task
//   MyCache()->Add(3);   // fine
//
// runtime/README.md, "Thread-local variables", tells what goes wrong, and what to use instead.
#pragma once

#include <cstdint>

namespace curg {

namespace internal {

// One stretch in which a task (or plain thread) stays on its thread.
struct Stretch {
  const void* thread = nullptr;
  uint32_t tick = 0;  // of the worker's processor: it moves whenever a task is resumed there
  bool operator==(const Stretch&) const = default;
};

Stretch CurrentStretch();
[[noreturn]] void ThreadBoundMisuse();

}  // namespace internal

// Debug builds (without NDEBUG) check at every access that the task has not been suspended since
// the pointer was made: not only that the thread is still the same, so that the error shows also
// when the task happens to come back to it (but for one time in 2^32). Calls that could have
// suspended the task and did not are not noticed; a Yield when nobody else is runnable, say. Other
// builds check nothing. The size is the same in all.
// Owner only: the task or plain thread that made it. Blocks: nothing.
template <typename T>
class ThreadBound {
 public:
  explicit ThreadBound(T& variable) : variable_(&variable) {
#ifndef NDEBUG
    made_ = internal::CurrentStretch();
#endif
  }

  // Aborts, naming the task, when it has been suspended since.
  T& operator*() const { return *get(); }
  T* operator->() const { return get(); }
  T* get() const {
#ifndef NDEBUG
    if (internal::CurrentStretch() != made_) internal::ThreadBoundMisuse();
#endif
    return variable_;
  }

 private:
  T* variable_;
  internal::Stretch made_;
};

}  // namespace curg
