// SPDX-License-Identifier: Apache-2.0
#include "runtime/stack_high_water.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>

#include "runtime/context.h"
#include "runtime/task.h"
#include "runtime/thread_state.h"
#include "runtime/traceback.h"

#ifdef CURG_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace curg {
namespace {

constexpr uintptr_t kPage = 4096;
constexpr size_t kPagesAtATime = 256;

// The page that holds the current frame, if it is on the current task's stack; else 0.
uintptr_t CurrentPage(StackBounds* bounds) {
  const internal::Task* const task = internal::CurrentTask();
  if (task == nullptr) return 0;
  *bounds = task->context.stack();
  const uintptr_t sp = internal::RegistersHere().sp;
  return bounds->Contains(sp) ? sp & ~(kPage - 1) : 0;
}

// The lowest resident page in [low, high), or high. Not a binary search: a large frame leaves
// holes.
uintptr_t LowestTouched(uintptr_t low, uintptr_t high) {
  unsigned char resident[kPagesAtATime];
  while (low < high) {
    const size_t pages = std::min(kPagesAtATime, (high - low) / kPage);
    if (mincore(reinterpret_cast<void*>(low), pages * kPage, resident) != 0) return high;
    unsigned char* const end = resident + pages;
    unsigned char* const first =
        std::find_if(resident, end, [](unsigned char page) { return page & 1; });
    low += static_cast<size_t>(first - resident) * kPage;
    if (first != end) return low;
  }
  return high;
}

}  // namespace

size_t StackHighWater() {
  StackBounds bounds;
  const uintptr_t page = CurrentPage(&bounds);
  if (page == 0) return 0;
  const int saved_errno = errno;
  const uintptr_t lowest = LowestTouched(bounds.low, page);
  errno = saved_errno;
  return bounds.high - lowest;
}

void ResetStackHighWater() {
  StackBounds bounds;
  const uintptr_t page = CurrentPage(&bounds);
  // One page of room: for this call's own callees, and a signal handler's red zone.
  if (page == 0 || page - bounds.low <= kPage) return;
  const size_t size = page - kPage - bounds.low;
#ifdef CURG_ASAN
  ASAN_UNPOISON_MEMORY_REGION(reinterpret_cast<void*>(bounds.low), size);
#endif
  madvise(reinterpret_cast<void*>(bounds.low), size, MADV_DONTNEED);
}

}  // namespace curg
