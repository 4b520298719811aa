// SPDX-License-Identifier: Apache-2.0
//
// The profile of a whole program, without a line of it being changed: profile_main.cc calls this
// before main.
#pragma once

namespace curg::internal {

// Starts what the program is asked for, and sees to it that it is written when the program ends:
//   --cpu_profile=PATH  (taken out of the arguments) a CPU profile into that file
//   a Bazel test        a CPU profile and, at the end, a task profile into its undeclared outputs;
//                       when it is terminated for taking too long, also all tasks as text, there
//                       (tasks.txt) and in its log
// Neither: nothing at all. A path that cannot be written ends the program with status 1 and a
// message; a test goes on without a profile. Programs that end by SIGTERM, by a fault or an abort
// leave their CPU profile, too, as far as that is possible then (end_watch.h); those that end by
// SIGKILL or _exit do not. Called once, from the main thread, before main.
void StartProgramProfile(int* argc, char** argv);

}  // namespace curg::internal
