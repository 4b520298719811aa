// SPDX-License-Identifier: Apache-2.0
//
// What the runtime reports by itself (runtime/reporter.h), in words: functions, files, lines and
// labels instead of addresses. One call, at the start of main:
//
//   curg::InstallReports();
#pragma once

namespace curg {

// Makes a reporter with symbols and labels the process's reporter, and starts its thread, on which
// everything is put into words and written to standard error. A stack overflow's first line is
// written at once by the thread that overflowed; the rest comes from the reports' thread, or, if
// that is held up for three seconds, as addresses. When the program returns from main or calls
// exit, reports on their way are finished first. Once a process; later calls have no effect.
// Thread-safe. Not async-signal-safe. Blocks: nothing.
void InstallReports();

}  // namespace curg
