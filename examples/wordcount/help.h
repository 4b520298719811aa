// SPDX-License-Identifier: Apache-2.0
//
// --help, complete: the usage message and this program's own flags. (Abseil's own leaves out flags,
// and exits with a failure.)
#pragma once

namespace wordcount {

// Prints the usage message and each flag defined in this program, with its meaning and default, and
// exits with status 0, if one of the arguments before "--" is --help or -h.
void PrintHelpIfAsked(int argc, char** argv);

}  // namespace wordcount
