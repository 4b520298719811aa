// SPDX-License-Identifier: Apache-2.0
//
// CPU profiles as tables for a terminal.
//
//   curg::Symbolizer symbolizer(profile.mappings);
//   std::cout << curg::CpuByLabel(profile, {"phase", "ext"}) << '\n'
//             << curg::TopFunctions(profile, symbolizer);
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "export/frame.h"
#include "profiler/cpu_profile.h"

namespace curg {

struct TextOptions {
  size_t width = 100;    // columns a line may take; at least 40 are taken
  size_t rows_max = 20;  // more are summed up in one line
  // Whether notes follow the table: that there are fewer than 200 samples, which make shares rough,
  // and one for each loss. For all but the last of several tables of one profile: false.
  bool notes = true;
};

// The columns of the terminal that standard output is, or `otherwise` when it is none.
size_t TerminalWidth(size_t otherwise = 100);

// "CPU by phase, ext": CPU time, share and a bar for each combination of the labels' values that
// occurs, the largest first. Time of tasks without any of these labels, of the runtime, of threads
// it does not know, and lost time have rows of their own, in parentheses; the shares are of all of
// it; "-" stands for a label that is not set. Values (and keys) appear as they are, unless they
// could be mistaken: in double quotes, with escapes as in C, are empty ones, "-", those with
// quotes, backslashes or control characters, those with a space at an end, and those that begin
// with a parenthesis.
// Thread-safe. Blocks: nothing.
std::string CpuByLabel(const CpuProfile& profile, const std::vector<std::string_view>& keys,
                       const TextOptions& options = {});

// "Top functions", in the manner of pprof -top: flat is the time in the function itself, cum that
// with all it called (counted once a stack, however often it recurs), sum% the running total of
// flat%. Inlined functions count as functions. Long names are shortened to fit.
// Thread-safe, but for `frames`. Blocks: the thread, reading symbols.
std::string TopFunctions(const CpuProfile& profile, FrameSource& frames,
                         const TextOptions& options = {});

}  // namespace curg
