// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "examples/chat/room.h"
#include "runtime/go.h"
#include "runtime/io/serve.h"
#include "tests/examples/server_process.h"
#include "tests/runtime/watchdog.h"

namespace curg::examples {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kMembers = 100;
#else
constexpr int kMembers = 1000;
#endif

class Server {
 public:
  explicit Server(const RoomOptions& options)
      : room_(options),
        listener_(TcpListener::Listen(SocketAddress::Loopback(0)).value()),
        serving_(Go([this] {
          return Serve(
              listener_, {},
              [this](TcpStream member) { room_.Join(std::move(member), stop_.get_token()); },
              stop_.get_token());
        })) {}
  ~Server() {
    stop_.request_stop();
    EXPECT_TRUE(serving_.Join().ok());
  }

  SocketAddress address() const { return listener_.local_address(); }
  Room& room() { return room_; }
  void AwaitMembers(int64_t count) {
    while (room_.counts().members != count) SleepFor(1ms);
  }

 private:
  Room room_;
  std::stop_source stop_;
  TcpListener listener_;
  JoinHandle<absl::Status> serving_;
};

// Reads lines.
class Lines {
 public:
  explicit Lines(TcpStream& stream) : stream_(stream) {}

  // Empty: the end, or an error.
  std::string Next() {
    while (true) {
      const size_t end = text_.find('\n');
      if (end != text_.npos) {
        std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return line;
      }
      char data[4096];
      const auto got = stream_.Read(data, Deadline::After(100s));
      if (!got.ok() || *got == 0) return "";
      text_.append(data, *got);
    }
  }

 private:
  TcpStream& stream_;
  std::string text_;
};

TEST(Chat, EveryMemberGetsEveryLineOnceAndInTheSameOrder) {
  constexpr int kSpeakers = 20;
  constexpr int kLines = 20;
  internal::Watchdog watchdog(std::chrono::seconds(60));
  curg::Run({.workers = 3}, [&] {
    Server server({.backlog = kSpeakers * kLines});
    std::vector<TcpStream> members;
    for (int i = 0; i < kMembers; ++i)
      members.push_back(TcpStream::Connect(server.address()).value());
    server.AwaitMembers(kMembers);
    std::vector<JoinHandle<std::vector<std::string>>> readers;
    for (TcpStream& member : members) {
      readers.push_back(Go([&] {
        Lines lines(member);
        std::vector<std::string> all;
        while (all.size() < kSpeakers * kLines) {
          all.push_back(lines.Next());
          if (all.back().empty()) break;
        }
        watchdog.Progress();
        return all;
      }));
    }
    std::vector<JoinHandle<void>> speakers;
    for (int speaker = 0; speaker < kSpeakers; ++speaker) {
      speakers.push_back(Go([&, speaker] {
        for (int i = 0; i < kLines; ++i) {
          const std::string line = std::to_string(speaker) + " " + std::to_string(i) + "\n";
          // In two pieces: a line is what ends with its end, not what one read brings.
          ASSERT_TRUE(members[static_cast<size_t>(speaker)].Write(line.substr(0, 2)).ok());
          if (i % 5 == 0) SleepFor(1ms);
          ASSERT_TRUE(members[static_cast<size_t>(speaker)].Write(line.substr(2)).ok());
        }
      }));
    }
    for (auto& speaker : speakers) speaker.Join();
    const std::vector<std::string> first = readers[0].Join();
    std::map<std::string, int> next;
    for (const std::string& line : first) {
      const size_t space = line.find(' ');
      ASSERT_NE(space, line.npos);
      EXPECT_EQ(line.substr(space + 1), std::to_string(next[line.substr(0, space)]++)) << line;
    }
    EXPECT_EQ(next.size(), static_cast<size_t>(kSpeakers));
    for (size_t i = 1; i < readers.size(); ++i) ASSERT_EQ(readers[i].Join(), first);
    // Resets while others talk.
    for (size_t i = kSpeakers; i < members.size() / 2; ++i) members[i].Abort();
    server.AwaitMembers(kMembers - (kMembers / 2 - kSpeakers));
    EXPECT_EQ(server.room().counts().dropped, 0);
  });
}

TEST(Chat, WhoDoesNotReadIsDroppedAndNobodyWaitsForIt) {
  internal::Watchdog watchdog(std::chrono::seconds(60));
  curg::Run([&] {
    Server server({.backlog = 8});
    TcpStream speaker = TcpStream::Connect(server.address()).value();
    std::vector<TcpStream> stalled;
    for (int i = 0; i < 3; ++i) {
      stalled.push_back(TcpStream::Connect(server.address()).value());
      const int size = 4096;
      setsockopt(stalled.back().fd(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    server.AwaitMembers(4);
    Lines lines(speaker);
    const std::string line(4000, 'x');
    for (int i = 0; i < 10'000 && server.room().counts().dropped < 3; ++i) {
      ASSERT_TRUE(speaker.Write(line + "\n").ok());
      ASSERT_EQ(lines.Next(), line);
      watchdog.Progress();
    }
    EXPECT_EQ(server.room().counts().dropped, 3);
    server.AwaitMembers(1);
  });
}

TEST(Chat, TheProgramEndsOnSigterm) {
  curg::Run([] {
    ServerProcess chat("CHAT", {"--listen=127.0.0.1:0"});
    TcpStream a = TcpStream::Connect(chat.address()).value();
    TcpStream b = TcpStream::Connect(chat.address()).value();
    Lines at_b(b);
    do {  // until b is in
      ASSERT_TRUE(a.Write("hello\n").ok());
      SleepFor(10ms);
      char data[1];
      if (recv(b.fd(), data, 1, MSG_PEEK) == 1) break;
    } while (true);
    EXPECT_EQ(at_b.Next(), "hello");
    chat.Signal(SIGTERM);
    EXPECT_EQ(chat.Wait(), 0);
  });
}

}  // namespace
}  // namespace curg::examples
