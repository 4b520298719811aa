// SPDX-License-Identifier: Apache-2.0
//
// The flame graph in the browser, as pages of the debug server (DebugServer has them):
//
//   /debug/pprof/flame                  the page; it loads nothing from elsewhere
//   /debug/pprof/flame.json?seconds=5   a CPU profile of the next seconds, for the page
//   /debug/pprof/tasks.json             the tasks with their stacks, for the page
#pragma once

#include "export/http/debug_page.h"
#include "export/http/debug_pages.h"

namespace curg {

// Adds them all. Thread-safe.
void AddFlamePages(DebugPages& pages);

namespace internal {

DebugResponse FlameJsonPage(const DebugRequest& request);
DebugResponse TasksJsonPage(const DebugRequest& request);

}  // namespace internal
}  // namespace curg
