// SPDX-License-Identifier: Apache-2.0
#include "runtime/joiner.h"

namespace curg::internal {

void WakeLimitedJoin(LimitedJoin* join) {
  if (join->waiter.TryClaim()) {
    join->waiter.Wake();
  } else {
    join->released.store(true, std::memory_order_release);  // release: pairs with AwaitEndWithin()
  }
}

}  // namespace curg::internal
