// SPDX-License-Identifier: Apache-2.0
//
// SoleSender, SoleReceiver: say to dumps on whom the other side of a channel waits.
//
//   void Produce(Channel<Item>& items) {
//     const SoleSender end(items);   // nobody else sends to it or closes it while this task is in
//                                    here
//     while (...) items.Send(...);
//   }
//
// A channel does not know who may still use it, so a dump cannot, either. Where a program says so,
// whoever waits to receive waits for that task, and a circle of such waits, of mutexes and of joins
// is found (profiler/wait_graph.h).
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/sync/channel.h"

namespace curg {
namespace internal {

// One declaration, for as long as it lives.
class ChannelEnd {
 public:
  enum class Side : uint8_t { kSends, kReceives };

  ChannelEnd(const ChannelEnd&) = delete;
  ChannelEnd& operator=(const ChannelEnd&) = delete;

 protected:
  // By the calling task. On a plain thread it says nothing.
  ChannelEnd(const void* channel, Side side);
  ~ChannelEnd();

 private:
  uint64_t number_ = 0;
};

struct KnownChannelEnd {
  uint64_t number = 0;  // of the declaration, unlike all others
  const void* channel = nullptr;
  ChannelEnd::Side side = ChannelEnd::Side::kSends;
  uint64_t task = 0;
};

// All declarations there are now, by number. Not async-signal-safe. Thread-safe. Blocks: the thread
// for some milliseconds at most; then there are none.
std::vector<KnownChannelEnd> KnownChannelEnds();

}  // namespace internal

// While it lives only the calling task, which made it, sends to the channel or closes it. A claim
// of the program's: nothing else depends on it. When two tasks claim the same, neither is believed.
// Thread-safe. Blocks: the thread, for a moment.
class SoleSender : internal::ChannelEnd {
 public:
  template <typename T>
  explicit SoleSender(const Channel<T>& channel) : ChannelEnd(&channel, Side::kSends) {}
};

// As SoleSender, of receiving.
class SoleReceiver : internal::ChannelEnd {
 public:
  template <typename T>
  explicit SoleReceiver(const Channel<T>& channel) : ChannelEnd(&channel, Side::kReceives) {}
};

}  // namespace curg
