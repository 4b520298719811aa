// SPDX-License-Identifier: Apache-2.0
//
// Where the calling thread's stack is.
#pragma once

#include <pthread.h>

#include <cstdint>

#include "runtime/check.h"
#include "runtime/stack_bounds.h"

namespace curg::internal {

inline StackBounds BoundsOfThisThread() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t size = 0;
  const bool known = pthread_getattr_np(pthread_self(), &attributes) == 0 &&
                     pthread_attr_getstack(&attributes, &low, &size) == 0;
  CURG_CHECK(known, "pthread_getattr_np needs /proc/self/maps");
  pthread_attr_destroy(&attributes);
  return {reinterpret_cast<uintptr_t>(low), reinterpret_cast<uintptr_t>(low) + size};
}

}  // namespace curg::internal
