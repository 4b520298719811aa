// SPDX-License-Identifier: Apache-2.0
//
// ReportOptions: what of RuntimeOptions is about reports, checked and with the environment's say.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "runtime/options.h"

namespace curg::internal {

struct ReportOptions {
  int64_t long_slice_ns = 0;       // 0: none is reported
  bool long_slice_always = false;  // also when nobody waited: the program or its user asked
  int long_slices_a_minute = 0;
  DeadlockAction deadlock = DeadlockAction::kNone;
  int64_t deadlock_warning_ns = 0;
};

// INVALID_ARGUMENT: an option or CURG_LONG_SLICE_MS is out of range, and which.
absl::StatusOr<ReportOptions> ReportOptionsFor(const RuntimeOptions& options);

}  // namespace curg::internal
