// SPDX-License-Identifier: Apache-2.0
//
// Labels of the current task. Start here.
//
//   #include "labels/labels.h"
//
//   curg::ScopedLabels request({{"endpoint", "/search"}, {"tenant", tenant}});
//   {
//     curg::ScopedLabels phase({{"phase", "parse"}});   // adds to what was there
//     Parse(body);
//   }                                                   // restores exactly what was there
//
// Tasks inherit the labels their spawner had at that moment; a task can be given others, or none:
//
//   curg::Go({.tag = curg::Labels::Of({{"job", "refresh"}})}, Refresh);
//   curg::Go({.tag = curg::Labels()}, Refresh);
//
// A plain thread has labels of its own, none at first. The runtime's own tasks never have any.
// Whatever the profiler takes on a task carries the labels the task had at that instruction.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "absl/types/span.h"
#include "labels/label_set.h"  // IWYU pragma: export
#include "runtime/tag.h"

namespace curg {

// The current task's (or plain thread's) labels.
// Thread-safe: each caller sees its own. Not async-signal-safe. Blocks: nothing.
Labels CurrentLabels();

// Replaces the current task's (or plain thread's) labels; SetLabels({}) clears them. Tasks that
// were spawned before keep theirs.
// Thread-safe. Not async-signal-safe. Blocks: nothing.
void SetLabels(Labels labels);

// Adds labels (which win over equal keys) for as long as it lives, and then restores exactly what
// was there, whatever SetLabels did in between (Go's Do restores the context's labels instead).
// Owner only: it must end on the task, or the plain thread, it began on (checked in debug builds).
// Scopes nest: the last begun ends first. The task may park and change threads in between.
class ScopedLabels {
 public:
  ScopedLabels(std::initializer_list<Label> labels)
      : ScopedLabels(absl::Span<const Label>(labels.begin(), labels.size())) {}
  explicit ScopedLabels(absl::Span<const Label> labels);
  explicit ScopedLabels(const Labels& labels) : ScopedLabels(labels.pairs()) {}
  ~ScopedLabels();

  ScopedLabels(const ScopedLabels&) = delete;
  ScopedLabels& operator=(const ScopedLabels&) = delete;

 private:
  TagRef previous_;
  const uint64_t owner_;  // who must end it
};

}  // namespace curg
