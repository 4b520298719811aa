// SPDX-License-Identifier: Apache-2.0
//
// Loads on which overhead is measured; another is peers/profilers/matrix_product.h.
#pragma once

#include <cstdint>

#include "labels/labels.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"

namespace curg {

// Values to another task, which has `labels`, and back, over channels without a buffer: all
// switches.
inline void ChannelRoundTrips(int64_t count, const Labels& labels = CurrentLabels()) {
  Channel<int64_t> ping;
  Channel<int64_t> pong;
  JoinHandle<void> other = Go({.tag = labels}, [&] {
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
