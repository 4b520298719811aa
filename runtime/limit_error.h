// SPDX-License-Identifier: Apache-2.0
//
// LimitError: what a call that returns absl::Status says when a limit has ended it.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/wait_status.h"

namespace curg::internal {

// DEADLINE_EXCEEDED for kTimeout, else CANCELLED. `what` names the call.
inline absl::Status LimitError(WaitStatus limit, absl::string_view what) {
  if (limit == WaitStatus::kTimeout)
    return absl::DeadlineExceededError(absl::StrCat(what, ": the deadline has passed"));
  return absl::CancelledError(absl::StrCat(what, ": a stop was requested"));
}

}  // namespace curg::internal
