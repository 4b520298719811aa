// SPDX-License-Identifier: Apache-2.0
#include "export/large_stack.h"

#include <thread>

#include "runtime/go.h"
#include "runtime/sync/semaphore.h"

namespace curg::internal {

void OnLargeStack(absl::FunctionRef<void()> fn) {
  if (CurrentTaskId() == 0) return fn();
  // The task parks: its worker, which may be the service worker, goes on with others.
  Semaphore done(0);
  std::thread thread([fn, &done] {
    fn();
    done.Release();
  });
  done.Acquire();
  thread.join();  // a matter of microseconds now
}

}  // namespace curg::internal
