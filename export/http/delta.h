// SPDX-License-Identifier: Apache-2.0
//
// "?seconds=N" for a profile that counts from the start of the program: what came in N seconds.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "export/http/debug_page.h"
#include "profiler/cpu_profile.h"

namespace curg {

// The profile as it is now, its values cumulative. Called in a task of the debug server's.
using ProfileSnapshot = std::function<absl::StatusOr<CpuProfile>()>;

// A handler that answers requests with "seconds" itself, as Go does, and passes on others to
// `plain`: two snapshots, the difference (export/profile_delta.h) as the file "NAME-delta". 400: no
// positive number; together with "debug"; or `snapshot` is null: a profile without cumulative
// values.
//   pages.AddProfile({.name = "block", .handler = WithDelta("block", BlockPage, BlockSnapshot)});
DebugHandler WithDelta(std::string name, DebugHandler plain, ProfileSnapshot snapshot);

}  // namespace curg
