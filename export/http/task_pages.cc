// SPDX-License-Identifier: Apache-2.0
#include "export/http/task_pages.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "export/http/delta.h"
#include "export/label_filter.h"
#include "export/task_pprof.h"
#include "export/task_text.h"
#include "profiler/task_profile.h"
#include "profiler/task_profiler.h"

namespace curg {
namespace {

absl::StatusOr<TaskProfileOptions> OptionsOf(const DebugRequest& request, bool each_task) {
  TaskProfileOptions options;
  options.each_task = each_task;
  const absl::StatusOr<LabelFilter> filter = LabelFilter::Parse(request.query.All("label"));
  if (!filter.ok()) return filter.status();
  if (!filter->LetsAllThrough()) options.tag = *filter;
  options.name = std::string(request.query.Get("name"));
  if (!request.query.Get("min_age_ms").empty()) {
    const int64_t age = request.query.GetInt("min_age_ms").value_or(-1);
    if (age < 0 || age > int64_t{1'000'000'000'000}) {
      return absl::InvalidArgumentError(
          "invalid value for \"min_age_ms\" - must be a number of milliseconds");
    }
    options.age_min = std::chrono::milliseconds(age);
  }
  return options;
}

DebugResponse TaskPage(const DebugRequest& request, const std::string& name) {
  const int64_t debug = request.query.GetInt("debug").value_or(0);
  const absl::StatusOr<TaskProfileOptions> options = OptionsOf(request, debug >= 2);
  if (!options.ok()) return DebugResponse::Error(options.status());
  auto profile = std::make_shared<const TaskProfile>(CollectTaskProfile(*options));
  if (debug == 0) {
    absl::StatusOr<std::string> file = EncodeTaskPprof(*profile);
    if (!file.ok()) return DebugResponse::Error(file.status());
    return DebugResponse::File(name, *std::move(file));
  }
  DebugResponse response = DebugResponse::Text("");
  response.stream = [profile, debug](const DebugSink& sink) {
    const auto write = [&sink](std::string_view text) { return sink(text); };
    debug >= 2 ? WriteTaskText(*profile, write) : WriteGroupedTaskText(*profile, write);
  };
  return response;
}

int64_t TaskCount() {
  return static_cast<int64_t>(CollectTaskProfile({.each_task = false, .depth_max = 1}).total);
}

}  // namespace

void AddTaskPages(DebugPages& pages) {
  for (const char* name : {"task", "goroutine"}) {
    const bool alias = std::string(name) == "goroutine";
    DebugHandler page = [name = std::string(name)](const DebugRequest& request) {
      return TaskPage(request, name);
    };
    pages.AddProfile({.name = name,
                      .description = "Stack traces of all current tasks. Use debug=2 as a query "
                                     "parameter for one paragraph a task; label=key=value, name "
                                     "and min_age_ms select some.",
                      .count = TaskCount,
                      // What is now, not what came since: there is no difference to take.
                      .handler = WithDelta(name, std::move(page), nullptr),
                      .alias = alias});
  }
}

}  // namespace curg
