// SPDX-License-Identifier: Apache-2.0
//
// The command line of a program of ours: Abseil's flags, and a --help that is complete and
// succeeds. (Abseil's own leaves out flags, and exits with a failure.)
#pragma once

#include <string_view>
#include <vector>

namespace curg {

// What is left of the arguments when the flags (ABSL_FLAG) have been taken out; the program's name
// is the first. With --help or -h before any "--": prints `usage` and every flag defined in this
// program, with its meaning and default, and exits with status 0. Ends the program with a message
// for unknown flags. Once, in main, before any other thread.
std::vector<char*> ParseCommandLine(int argc, char** argv, std::string_view usage);

}  // namespace curg
