// SPDX-License-Identifier: Apache-2.0
//
// Task profiles for pprof: how many tasks are where.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "export/frame.h"
#include "profiler/task_profile.h"

namespace curg {

// The profile's groups as pprof reads them, gzipped: sample type tasks/count, the tasks' labels,
// and two labels more: "curg.status" ("parked") and, of waiting tasks, "curg.wait" ("channel
// receive").
//   go tool pprof -tags tasks.pb.gz
// Thread-safe, but for `frames`. Blocks: the thread, reading symbols.
absl::StatusOr<std::string> EncodeTaskPprof(const TaskProfile& profile);
absl::StatusOr<std::string> EncodeTaskPprof(const TaskProfile& profile, FrameSource& frames);

// EncodeTaskPprof to a file, as WritePprof (export/pprof.h).
absl::Status WriteTaskPprof(const TaskProfile& profile, const std::string& path);

}  // namespace curg
