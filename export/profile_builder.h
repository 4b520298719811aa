// SPDX-License-Identifier: Apache-2.0
//
// From a CpuProfile to pprof's message. A pure function: what it knows of the process is in its
// arguments.
#pragma once

#include <string>

#include "export/frame.h"
#include "export/profile.pb.h"
#include "profiler/cpu_profile.h"

namespace curg {

struct ProfileBuilderOptions {
  // The path of the program itself, whose mappings come first, as pprof expects.
  std::string program;
};

// What the message holds, and how it differs from a plain copy of the entries:
//   sample types   samples/count (signals) and cpu/nanoseconds (periods times period; the default)
//   stacks         return addresses are decremented, so that they lie within the call
//   samples        of equal stacks, labels and kind are one; the largest come first
//   pseudo frames  whose time it is shows at the root: curg::RuntimeThread above all samples of the
//                  runtime's own threads, curg::ForeignThread above those of threads that the
//                  runtime does not know. User labels stay the user's. What has no stack is named
//                  by its pseudo frame: curg::LostSamples, curg::OverflowBucket. These names need
//                  no symbols.
//   labels         those of the entry's LabelSet; a tag of another kind has none
//                  Numeric: task_id, if the profile tells tasks apart
//   drop frames    the profiler's own work within tasks, so that pprof does not show it at the leaf
//   locations      one an address; inlined functions are further lines of it
//   mappings       all executable ones; has_functions and its like are set when the module's
//                  symbols were found, so that readers look for symbols only where there were none
//   comments       the quality report, each line prefixed by "curg: "
// Thread-safe, but for `frames`.
perftools::profiles::Profile BuildProfile(const CpuProfile& profile, FrameSource& frames,
                                          const ProfileBuilderOptions& options = {});

}  // namespace curg
