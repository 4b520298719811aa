// SPDX-License-Identifier: Apache-2.0
//
// Room: everybody in it gets what anybody says, each in the same order.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <stop_token>
#include <string>

#include "runtime/io/tcp.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/mutex.h"

namespace curg::examples {

struct RoomOptions {
  // Messages that wait for one member. Who falls further behind is dropped: one slow reader must
  // neither keep the others waiting nor fill the memory.
  size_t backlog = 64;
  std::chrono::nanoseconds write_timeout = std::chrono::seconds(10);  // for one message, to one who
                                                                      // is leaving, say
  size_t line_max = 4096;  // bytes; who sends longer ones is dropped, too
};

struct RoomCounts {
  int64_t members = 0;  // now
  int64_t messages = 0;
  int64_t dropped = 0;  // members too slow
};

// Thread-safe.
class Room {
 public:
  explicit Room(const RoomOptions& options) : options_(options) {}

  // Lets the other side take part until it ends its writing, is too slow, or a stop is requested.
  // Blocks: the task.
  void Join(TcpStream stream, const std::stop_token& stop);

  RoomCounts counts();

 private:
  using Message = std::shared_ptr<const std::string>;  // one copy for all
  struct Member;

  void Say(Message message);
  void ReadLines(TcpStream& stream, const std::stop_token& stop);
  void WriteMessages(TcpStream& stream, Member& member, const std::stop_token& stop);

  const RoomOptions options_;
  Mutex lock_;
  std::set<Member*> members_;  // guarded by lock_
  RoomCounts counts_;          // guarded by lock_
};

}  // namespace curg::examples
