// SPDX-License-Identifier: Apache-2.0
//
// What EncodeTaskPprof gzips.
#pragma once

#include <string>

#include "export/frame.h"
#include "export/profile.pb.h"
#include "profiler/task_profile.h"

namespace curg {

// `program`: the path of the program itself, whose mappings come first.
perftools::profiles::Profile BuildTaskPprof(const TaskProfile& profile, FrameSource& frames,
                                            const std::string& program);

}  // namespace curg
