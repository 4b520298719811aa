// SPDX-License-Identifier: Apache-2.0
//
// Phases: what a task of wordcount is busy with. A PhaseScope labels all that the profiler sees
// meanwhile and, for --check, also measures it by the thread's own CPU clock.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "labels/labels.h"

namespace wordcount {

enum class Phase : uint8_t { kRead, kTokenize, kMerge };

inline constexpr std::array kPhases = {Phase::kRead, Phase::kTokenize, Phase::kMerge};

// "read", "tokenize", "merge": the value of the label `phase`.
std::string_view PhaseName(Phase phase);

// The labels of work in `phase` on files with this extension (the label `ext`).
curg::Labels PhaseLabels(Phase phase, std::string_view ext);

// Nanoseconds of CPU time by phase.
using PhaseTimes = std::array<int64_t, kPhases.size()>;

// Switches the clocks on; call it before any PhaseScope begins.
void MeasurePhases();

// What all scopes that have ended took, by CLOCK_THREAD_CPUTIME_ID; zero unless MeasurePhases was
// called. Thread-safe.
PhaseTimes MeasuredPhases();

// Work in `phase`. The task must not park within: it might go on on another thread, whose clock is
// another one. (Labels alone do not mind.)
class PhaseScope {
 public:
  PhaseScope(Phase phase, std::string_view ext);
  ~PhaseScope();
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

  // Goes on in another phase, or the same.
  void Switch(Phase phase);

 private:
  void EndStretch();

  const curg::ScopedLabels labels_;  // restores what was there, whatever Switch did in between
  Phase phase_;
  int64_t start_ns_;  // of the stretch in `phase_`
};

}  // namespace wordcount
