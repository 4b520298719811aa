// SPDX-License-Identifier: Apache-2.0
//
// A load on which overhead is measured; the other is peers/profilers/matrix_product.h.
#pragma once

#include <cstdint>

#include "runtime/go.h"
#include "runtime/sync/channel.h"

namespace curg {

// Values to another task and back, over channels without a buffer: all switches.
inline void ChannelRoundTrips(int64_t count) {
  Channel<int64_t> ping;
  Channel<int64_t> pong;
  JoinHandle<void> other = Go([&] {
    for (const int64_t value : ping) pong.Send(value);
  });
  for (int64_t i = 0; i < count; ++i) {
    ping.Send(i);
    (void)pong.Receive();
  }
  ping.Close();
  other.Join();
}

}  // namespace curg
