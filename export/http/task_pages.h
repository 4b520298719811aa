// SPDX-License-Identifier: Apache-2.0
//
// /debug/pprof/task, and its older name goroutine: where all tasks are at this moment.
//
//   debug=0   a pprof file, grouped
//   debug=1   text, one paragraph for all tasks of equal stack, labels and wait
//   debug=2   text, one paragraph a task
//   label=key=value, name=TEXT, min_age_ms=N    only these
#pragma once

#include "export/http/debug_page.h"
#include "export/http/debug_pages.h"

namespace curg {

// `pages` must outlive what it handles.
void AddTaskPages(DebugPages& pages);

}  // namespace curg
