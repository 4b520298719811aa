// SPDX-License-Identifier: Apache-2.0
//
// Fatal signals in tasks: says which task has overflowed its stack, or otherwise ends the process,
// by a fault or an abort (an uncaught exception's, say); then lets the process die as it would
// have.
//
// A fault counts as an overflow when it touched the guard page of the current task's stack, or a
// little below it (a frame of several pages may step over the guard, and on the lowest slot of a
// slab meets nothing), and the stack pointer was there too: a wild pointer alone is no overflow.
// Everything else is passed on untouched; where nobody else listens, the task and its stack are
// reported first.
#pragma once

namespace curg::internal {

// Installs the handlers of SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT. Handlers that were there
// before are called as they would have been, after a report; the program may install its own later,
// and ours is then gone. Once a process; later calls have no effect. Thread-safe.
void InstallFaultHandler();

// Whether a task has overflowed its stack, so that what happens now is the process's end.
// Thread-safe.
bool IsDying();

}  // namespace curg::internal
