// SPDX-License-Identifier: Apache-2.0
//
// Task profiles as JSON lines, for programs: one object a task, by id.
//
//   {"id":7,"name":"reader","status":"parked","wait":"channel
//   receive","object":"0x7f52d4a01c80","age_ms":2300,
//    "labels":{"tenant":"a"},"spawner":1,"spawn_site":"main server.cc:80","stack":["Reader(...)
//    server.cc:41", ...]}
//
// (on one line). Left out are: name, wait, object, holder (the task that holds the mutex, is
// joined, or has the channel's other end), due_ms (of a sleep), cpu_ns (what it has used while a
// CpuAccounting lived), spawn_stack, where there are none. Text is UTF-8, as JSON demands.
#pragma once

#include <string>

#include "export/task_text.h"
#include "profiler/task_profile.h"

namespace curg {

// Streamed, as WriteTaskText; the profile must have been made with each_task.
bool WriteTaskJson(const TaskProfile& profile, TextSink sink);
std::string TaskJson(const TaskProfile& profile);

}  // namespace curg
