// SPDX-License-Identifier: Apache-2.0
//
// The pages below /debug/pprof/, as Go serves them: paths, parameters, headers and status codes.
//
//   profile   ?seconds=30   CPU profile. Beyond Go: &hz=, &label=key=value (repeatable),
//             &task_ids=1,
//                           &format=folded for flame graph tools
//   cmdline                 the command line, its arguments separated by NUL
//   symbol    ?0x1+0x2      names of program counters
#pragma once

#include "export/http/debug_page.h"
#include "export/http/debug_pages.h"

namespace curg {

// Adds them all. `pages` must outlive what it handles.
void AddPprofPages(DebugPages& pages);

namespace internal {

DebugResponse CpuProfilePage(const DebugRequest& request);
DebugResponse CmdlinePage(const DebugRequest& request);
DebugResponse SymbolPage(const DebugRequest& request);

}  // namespace internal
}  // namespace curg
