// SPDX-License-Identifier: Apache-2.0
#include "labels/labels.h"

#include <pthread.h>

#include <utility>

#include "runtime/check.h"
#include "runtime/current_tag.h"
#include "runtime/go.h"

namespace curg {
namespace {

// Names the current task or, there being none, the thread; the two never look alike, as ids count
// from 1 and a pthread_t is an address.
uint64_t CurrentOwner() {
  const uint64_t task_id = CurrentTaskId();
  return task_id != 0 ? task_id : static_cast<uint64_t>(pthread_self());
}

}  // namespace

Labels CurrentLabels() { return Labels::FromTag(CurrentTag()); }

void SetLabels(Labels labels) { ExchangeCurrentTag(std::move(labels)); }

ScopedLabels::ScopedLabels(absl::Span<const Label> labels)
    : previous_(CurrentTag()), owner_(CurrentOwner()) {
  const LabelSet* base = LabelSet::FromTag(previous_.get());
  ExchangeCurrentTag(TagRef::Adopt(LabelSet::Make(base, labels)));
}

ScopedLabels::~ScopedLabels() {
  CURG_DCHECK(owner_ == CurrentOwner(), "end a ScopedLabels on the task it began on");
  ExchangeCurrentTag(std::move(previous_));
}

}  // namespace curg
