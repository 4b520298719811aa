// SPDX-License-Identifier: Apache-2.0
//
// ThreadCredit: how much CPU time one thread's samples stand for. Signals say where the time went;
// the thread's own counter says how much there was.
//
//   counter  ├──────────────────────────────────────────┤ what the thread has used
//   given    ├───────────────────────────┤                credited to samples so far
//                                        └ behind ──────┘ the part of a period since the last
//                                        signal,
//                                                         and what late or merged signals left out
//
// A signal stands for the periods it carries, the first one for what was used until it was due, and
// as long as those keep up with the counter nothing else happens. Where they fall behind it by more
// than a signal may be late, because signals merged or never came, the samples at hand share what
// is missing. They never get ahead of it. When the account is brought level (the thread ends, or a
// profile begins or ends), all that was used is given. So the sum is the thread's CPU time, however
// few and however late its signals are, and however short it lives.
//
// Where the counter is gone with its thread, what was used after the last signal is unknown:
// between nothing and a period and a tick. Half of that is given, which is right on average.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace curg::internal {

// Thread-compatible. A value.
struct ThreadCredit {
  int64_t given = 0;        // may start below zero: what the thread used before it was counted
  int64_t behind_max = 0;   // by how much it may fall behind
  int64_t first_extra = 0;  // what the first signals stand for, beyond whole periods
  int64_t unseen_end = 0;   // what is given for the time after the last signal
  bool level_next = false;  // the next signals get all there is

  // What to give now to signals that carry `nominal` between them (0: there are none). `count` is
  // the counter; none: it cannot be read, and what the signals carry is all there is to know.
  // `level`: give all there is.
  int64_t Give(int64_t nominal, std::optional<int64_t> count, bool level);
};

// Splits `total` in proportion to `weights`, in place, so that the parts add up to it.
// Requires: weights are not negative, and not all zero unless total is.
void Share(int64_t total, std::span<int64_t> weights);

}  // namespace curg::internal
