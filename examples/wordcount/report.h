// SPDX-License-Identifier: Apache-2.0
//
// Report: what wordcount prints.
#pragma once

#include <string>
#include <string_view>

#include "examples/wordcount/count.h"
#include "export/frame.h"
#include "profiler/cpu_profile.h"

namespace wordcount {

// The most frequent words, and below them what was counted and what was not, and why.
std::string WordReport(const Totals& totals);

// "CPU by phase", "CPU by phase, ext", "Top functions", as wide as the terminal.
// Blocks: the thread, reading symbols.
std::string CpuReport(const curg::CpuProfile& profile, curg::FrameSource& frames);

// `text` as one word of a shell's command line.
std::string ShellQuote(std::string_view text);

}  // namespace wordcount
