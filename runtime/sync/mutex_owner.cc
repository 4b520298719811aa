// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "runtime/other_thread.h"
#include "runtime/sync/mutex.h"

namespace curg::internal {

// The mutex may be destroyed meanwhile, so the kernel reads it.
const void* OwnerOfMutex(const void* mutex) {
  const void* owner = nullptr;
  const auto* const from = &static_cast<const Mutex*>(mutex)->owner_;
  static_assert(sizeof(*from) == sizeof(owner));
  return CopyUnstable(&owner, from, sizeof(owner)) ? owner : nullptr;
}

}  // namespace curg::internal
