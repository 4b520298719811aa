// SPDX-License-Identifier: Apache-2.0
//
// Several pprof messages as one, as `go tool pprof A B` adds them up. A pure function.
#pragma once

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "export/profile.pb.h"

namespace curg {

// The sum of all: samples of equal stacks and labels are one. Stacks of the same binary (by build
// id, or by path where there is none) are equal wherever it was loaded. The time is the earliest,
// the duration the sum of all, the period the longest; each comment is there once.
// INVALID_ARGUMENT: nothing to merge; sample or period types that differ; or a message that refers
// to what it does not hold. The error counts messages from 1. Thread-safe.
absl::StatusOr<perftools::profiles::Profile> MergeProfiles(
    absl::Span<const perftools::profiles::Profile> profiles);

}  // namespace curg
