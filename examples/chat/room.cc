// SPDX-License-Identifier: Apache-2.0
#include "examples/chat/room.h"

#include <mutex>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/go.h"

namespace curg::examples {

struct Room::Member {
  explicit Member(TcpStream& stream, size_t backlog) : stream(stream), outbox(backlog) {}

  TcpStream& stream;
  Channel<Message> outbox;
};

// Under the lock all members get the messages in the same order; sending never waits.
void Room::Say(Message message) {
  std::lock_guard lock(lock_);
  ++counts_.messages;
  for (Member* const member : members_) {
    if (member->outbox.TrySend(message) != WaitStatus::kWouldBlock) continue;
    ++counts_.dropped;
    member->outbox.Close();
    member->stream.Shutdown();  // its reader and writer come back
  }
}

void Room::ReadLines(TcpStream& stream, const std::stop_token& stop) {
  std::string line;
  char data[1024];
  while (true) {
    const absl::StatusOr<size_t> got = stream.Read(data, Deadline::Never(), stop);
    if (!got.ok() || *got == 0) return;
    for (const char c : std::string_view(data, *got)) {
      line.push_back(c);
      if (c == '\n') Say(std::make_shared<const std::string>(std::exchange(line, {})));
      if (line.size() > options_.line_max) return;
    }
  }
}

void Room::WriteMessages(TcpStream& stream, Member& member, const std::stop_token& stop) {
  for (const Message& message : member.outbox) {
    if (!stream.Write(*message, Deadline::After(options_.write_timeout), stop).ok()) return;
  }
}

void Room::Join(TcpStream stream, const std::stop_token& stop) {
  Member member(stream, options_.backlog);
  {
    std::lock_guard lock(lock_);
    members_.insert(&member);
    ++counts_.members;
  }
  JoinHandle<void> writer = Go([&] { WriteMessages(stream, member, stop); });
  ReadLines(stream, stop);
  {
    std::lock_guard lock(lock_);
    members_.erase(&member);
    --counts_.members;
  }
  member.outbox.Close();  // what waits in it is still written
  writer.Join();
}

RoomCounts Room::counts() {
  std::lock_guard lock(lock_);
  return counts_;
}

}  // namespace curg::examples
