// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_name.h"

#include <algorithm>
#include <cstdint>

#include "runtime/other_thread.h"
#include "runtime/unstable_reads.h"

namespace curg::internal {

// Short names lie in the extra part, hence in a record; others are copied by the kernel, for they
// may be gone.
std::string_view CopyTaskName(const Task& task, std::span<char> to) {
  const UnstableReads reads;
  const TaskExtra* const extra = task.extra();
  if (extra == nullptr) return {};
  const char* const text = extra->name.data();
  const size_t size = std::min(extra->name.size(), to.size());
  if (size == 0) return {};
  const auto within = reinterpret_cast<uintptr_t>(text) - reinterpret_cast<uintptr_t>(extra);
  if (within < sizeof(TaskExtra) && size <= sizeof(TaskExtra) - within) {
    std::copy_n(text, size, to.data());
  } else if (!CopyUnstable(to.data(), text, size)) {
    return {};
  }
  return {to.data(), size};
}

}  // namespace curg::internal
