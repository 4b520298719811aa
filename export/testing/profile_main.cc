// SPDX-License-Identifier: Apache-2.0
//
// Linked into a program, profiles it whole (program_profile.h). The linker is told to --wrap=main:
// what would call main calls __wrap_main below, which ends by calling main.
//
// Why not a static initialiser: the profiler would start among those of its own libraries, in any
// order, and a flag could not be taken out of the arguments before the program's own parser objects
// to it. Why not a main of our own: many tests have theirs, and BENCHMARK_MAIN() is one.
#include "export/testing/program_profile.h"

extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names
int __real_main(int argc, char** argv, char** envp);

int __wrap_main(int argc, char** argv, char** envp) {
  curg::internal::StartProgramProfile(&argc, argv);
  return __real_main(argc, argv, envp);
}
// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"
