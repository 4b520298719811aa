// SPDX-License-Identifier: Apache-2.0
//
// Signal dispositions of the runtime, and the handlers there were before. It asks the kernel
// itself: under the sanitizers the library's function would wrap the handler in one that runs late.
#pragma once

#include <signal.h>

#include <cstdint>

namespace curg::internal {

using SignalHandler = void (*)(int, siginfo_t*, void*);

// What a signal did before ours was installed, as the kernel lays it out; the C library's differs.
struct SignalAction {
  union {
    SignalHandler with_info = nullptr;
    void (*plain)(int);
  };
  unsigned long flags = 0;
  void (*restorer)() = nullptr;
  uint64_t mask = 0;

  bool IsDefault() const { return plain == SIG_DFL; }
  bool IsIgnore() const { return plain == SIG_IGN; }
};

// Makes `handler` the process's for `signal`, on the alternate signal stack where a thread has one,
// with the signals in `mask` (1 << (signal - 1)) blocked, and system calls restarted where the
// kernel does that. Writes what there was into `previous` before. False: the kernel refuses.
// Thread-safe. One caller at a time for a signal.
bool InstallSignalHandler(int signal, SignalHandler handler, uint64_t mask, SignalAction* previous);

// Does with the signal what would have been done without our handler: calls `previous`, or arranges
// that the default action, which may end the process with a core dump of the fault itself, is taken
// when the caller returns. The caller is the handler, and returns without touching the context.
// Async-signal-safe.
void PassSignalOn(const SignalAction& previous, int signal, siginfo_t* info, void* context);

}  // namespace curg::internal
