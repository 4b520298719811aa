// SPDX-License-Identifier: Apache-2.0
#include "export/web/flame_pages.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "export/large_stack.h"
#include "export/profile_builder.h"
#include "export/symbolize.h"
#include "export/task_json.h"
#include "export/web/flame_graph.h"
#include "profiler/cpu_profiler.h"
#include "profiler/task_profiler.h"
#include "runtime/go.h"

namespace curg {
namespace internal {
namespace {

constexpr int64_t kDefaultSeconds = 5;
constexpr int64_t kSecondsMax = 3600;
constexpr size_t kTasksMax = 20'000;  // more are no list that anybody reads

}  // namespace

DebugResponse FlameJsonPage(const DebugRequest& request) {
  int64_t seconds = kDefaultSeconds;
  if (request.query.Has("seconds")) {
    seconds = request.query.GetInt("seconds").value_or(0);
    if (seconds < 1 || seconds > kSecondsMax) {
      return DebugResponse::Error(
          400, absl::StrCat("invalid value for \"seconds\" - must be between 1 and ", kSecondsMax));
    }
  }
  absl::StatusOr<CpuProfileSession> session =
      StartCpuProfile({.holder = "the flame graph page (/debug/pprof/flame)"});
  if (!session.ok()) return DebugResponse::Error(503, std::string(session.status().message()));
  SleepFor(std::chrono::seconds(seconds), request.stop);
  const CpuProfile profile = session->Stop();
  if (request.stop.stop_requested()) return DebugResponse::Error(500, "the client is gone");

  std::string json;
  OnLargeStack([&] {
    Symbolizer symbolizer(profile.mappings);
    json = FlameGraphJson(BuildProfile(profile, symbolizer));
  });
  return DebugResponse::Json(std::move(json));
}

// {"total":3,"tasks":[{...},...]}: export/task_json.h says what a task has.
DebugResponse TasksJsonPage(const DebugRequest&) {
  const TaskProfile profile = CollectTaskProfile({.tasks_max = kTasksMax});
  std::string lines = TaskJson(profile);
  if (lines.ends_with('\n')) lines.pop_back();
  std::replace(lines.begin(), lines.end(), '\n', ',');  // within an object there is none
  return DebugResponse::Json(
      absl::StrCat("{\"total\":", profile.total, ",\"tasks\":[", lines, "]}\n"));
}

}  // namespace internal

void AddFlamePages(DebugPages& pages) {
  pages.Add({.path = "/debug/pprof/flame",
             .description =
                 "Flame graph: the CPU profile of the next seconds in the browser, split by "
                 "label, and the list of tasks",
             .handler = [](const DebugRequest&) {
               return DebugResponse::Html(std::string(FlamePage()));
             }});
  pages.Add({.path = "/debug/pprof/flame.json", .handler = internal::FlameJsonPage});
  pages.Add({.path = "/debug/pprof/tasks.json", .handler = internal::TasksJsonPage});
}

}  // namespace curg
