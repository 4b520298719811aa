// SPDX-License-Identifier: Apache-2.0
//
// A shared object for unwind_table_test, built twice with different frames (PLUGIN_PAD) under two
// names.
#include <cstddef>

// Without a frame pointer: only the right table knows how large the frame is.
extern "C" __attribute__((noinline, optimize("O2", "omit-frame-pointer"))) void curg_test_plugin(
    void (*call)(void*), void* arg) {
  volatile char pad[PLUGIN_PAD];
  for (size_t i = 0; i < sizeof(pad); ++i) pad[i] = static_cast<char>(i);
  call(arg);
  asm volatile("" ::"r"(pad) : "memory");
}
