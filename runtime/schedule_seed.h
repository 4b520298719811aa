// SPDX-License-Identifier: Apache-2.0
//
// The seed of a random schedule: where it comes from, and telling it so that nobody has to look for
// it when a test has failed.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"

namespace curg::internal {

// The seed of a runtime that begins: `option`, or else what CURG_SCHEDULE_SEED says, "random" being
// the same number for all of the process's runtimes. 0: none. INVALID_ARGUMENT: the variable is
// something else. Thread-safe. Blocks: nothing.
absl::StatusOr<uint64_t> ScheduleSeed(std::optional<uint64_t> option);

// Prints the seed, if it is none of 0; and from then on once more when the process exits with a
// status other than 0, whatever the test framework is. Thread-safe. Blocks: nothing.
void TellScheduleSeed(uint64_t seed);

// For other ends of the process: prints the last seed once more, if there was one.
// Async-signal-safe.
void TellScheduleSeedAgain();

}  // namespace curg::internal
