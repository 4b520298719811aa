// SPDX-License-Identifier: Apache-2.0
//
// The server as clients see it: good ones, wrong ones, slow ones, many, and those that leave.
#include "export/http/debug_server.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "export/large_stack.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "profiler/cpu_profiler.h"
#include "runtime/go.h"
#include "runtime/sync/semaphore.h"
#include "tests/export/http/raw_client.h"

namespace curg {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::chrono_literals;

DebugServer StartServer(DebugServerOptions options = {}) {
  options.port = 0;
  return DebugServer::Start(options).value();
}

std::string Get(uint16_t port, std::string_view target, std::string_view headers = "") {
  RawClient client(port);
  client.Send("GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" +
              std::string(headers) + "\r\n");
  return client.ReceiveAll();
}

// Waits, for as long as a loaded machine may need.
bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 3000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

ptrdiff_t OpenFiles() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

TEST(DebugServerTest, ServesTheIndexOnLoopback) {
  const DebugServer server = StartServer();
  EXPECT_EQ(server.url(), "http://127.0.0.1:" + std::to_string(server.port()) + "/debug/pprof/");
  EXPECT_THAT(Get(server.port(), "/debug/pprof/"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"),
                    HasSubstr("Content-Type: text/html; charset=utf-8\r\n"),
                    HasSubstr("X-Content-Type-Options: nosniff\r\n"), HasSubstr("'profile'")));
  EXPECT_THAT(Get(server.port(), "/debug/pprof/x"),
              AllOf(StartsWith("HTTP/1.1 404 Not Found\r\n"), HasSubstr("X-Go-Pprof: 1\r\n"),
                    EndsWith("\r\n\r\nUnknown profile\n")));
  EXPECT_THAT(Get(server.port(), "http://proxied:1/debug/pprof/cmdline"),
              StartsWith("HTTP/1.1 200"));
}

TEST(DebugServerTest, KeepsConnectionsAndAnswersWhatIsPipelined) {
  const DebugServer server = StartServer();
  RawClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.Send("GET /debug/pprof/cmdline HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(client.ReceiveAnswer(), StartsWith("HTTP/1.1 200 OK\r\n"));
  }
  client.Send("GET /a HTTP/1.1\r\n\r\nHEAD /debug/pprof/ HTTP/1.1\r\n\r\n");
  client.Send("GET /b HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::string answers = client.ReceiveAll();
  EXPECT_THAT(answers, AllOf(StartsWith("HTTP/1.1 404"), HasSubstr("HTTP/1.1 200 OK\r\n"),
                             EndsWith("404 page not found\n")));
  EXPECT_EQ(answers.find("<html"), std::string::npos);  // of HEAD, the header only
}

TEST(DebugServerTest, AClientThatSendsNoMoreStillGetsItsAnswer) {
  const DebugServer server = StartServer();
  RawClient client(server.port());
  client.Send("GET /debug/pprof/cmdline HTTP/1.0\r\n\r\n");
  client.SendNoMore();
  EXPECT_THAT(client.ReceiveAll(), StartsWith("HTTP/1.0 200 OK\r\n"));
}

TEST(DebugServerTest, SaysWhyItDoesNotStart) {
  const DebugServer server = StartServer();
  const absl::Status in_use = DebugServer::Start({.port = server.port()}).status();
  EXPECT_THAT(
      std::string(in_use.message()),
      AllOf(HasSubstr("debug server"), HasSubstr("127.0.0.1:" + std::to_string(server.port()) +
                                                 ": Address already in use; port 0")));
  const absl::Status name = DebugServer::Start({.address = "example"}).status();
  EXPECT_EQ(name.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DebugServer::Start({.connections_max = 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(DebugServerTest, AsksForTheToken) {
  const DebugServer server = StartServer({.bearer_token = "s3cret"});
  const uint16_t port = server.port();
  EXPECT_THAT(Get(port, "/debug/pprof/"), AllOf(StartsWith("HTTP/1.1 401 Unauthorized\r\n"),
                                                HasSubstr("WWW-Authenticate: Bearer\r\n")));
  EXPECT_THAT(Get(port, "/debug/pprof/", "Authorization: Bearer s3cret\r\n"),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get(port, "/debug/pprof/", "Authorization: Basic eDpzM2NyZXQ=\r\n"),
              StartsWith("HTTP/1.1 200"));
  for (const char* wrong : {"Bearer s3cre", "Bearer s3crets", "Bearer ", "Bearer", "Basic !",
                            "Basic", "Basic eA==", "s3cret"}) {
    EXPECT_THAT(Get(port, "/debug/pprof/", "Authorization: " + std::string(wrong) + "\r\n"),
                StartsWith("HTTP/1.1 401"))
        << wrong;
  }
}

TEST(DebugServerTest, RefusesWhatIsTooLarge) {
  const DebugServer server = StartServer({.header_bytes_max = 2000, .body_bytes_max = 3000});
  EXPECT_THAT(Get(server.port(), "/" + std::string(5000, 'x')), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Get(server.port(), "/", "X: " + std::string(100'000, 'x') + "\r\n"),
              StartsWith("HTTP/1.1 431"));
  RawClient declared(server.port());
  declared.Send("POST /debug/pprof/symbol HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n");
  EXPECT_THAT(declared.ReceiveAll(), StartsWith("HTTP/1.1 413"));
  RawClient chunked(server.port());
  chunked.Send("POST /debug/pprof/symbol HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n");
  chunked.Send(std::string(100'000, 'x'));
  EXPECT_THAT(chunked.ReceiveAll(), StartsWith("HTTP/1.1 413"));
}

TEST(DebugServerTest, ThousandsOfMalformedRequestsCostNothingLasting) {
  const DebugServer server = StartServer({.request_timeout = 2s});
  const ptrdiff_t files = OpenFiles();
  const std::string good =
      "GET /debug/pprof/cmdline HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  std::mt19937 random(7);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string request = good;
    for (int changes = 0; changes < 3; ++changes) {
      const size_t at = random() % request.size();
      switch (random() % 3) {
        case 0:
          request[at] = static_cast<char>(random());
          break;
        case 1:
          request.erase(at, random() % 8);
          break;
        default:
          request.insert(at, std::string(random() % 8, static_cast<char>(random())));
      }
    }
    RawClient client(server.port());
    client.Send(request);
    client.SendNoMore();
    const std::string answer = client.ReceiveAll();
    ASSERT_THAT(answer, StartsWith("HTTP/1.")) << request;
    refused += answer.substr(9, 3) == "400";
  }
  EXPECT_GT(refused, 500);
  EXPECT_TRUE(Eventually([&] { return server.connections() == 0; })) << server.connections();
  EXPECT_TRUE(Eventually([&] { return OpenFiles() <= files; })) << OpenFiles() << " of " << files;
  EXPECT_THAT(Get(server.port(), "/debug/pprof/cmdline"), StartsWith("HTTP/1.1 200"));
}

TEST(DebugServerTest, ManySlowRequestsAreEndedAndNobodyElseWaits) {
  const DebugServer server =
      StartServer({.connections_max = 300, .request_timeout = 1s, .idle_timeout = 1s});
  const ptrdiff_t files = OpenFiles();
  int timed_out = 0, replaced = 0;
  for (int round = 0; round < 4; ++round) {
    std::vector<RawClient> clients;
    for (int i = 0; i < 500; ++i) {  // more than there is room for
      clients.emplace_back(server.port());
      if (i % 2 == 0) clients.back().Send("GET /debug/pprof/ HTTP/1.1\r\nHo");
    }
    EXPECT_THAT(Get(server.port(), "/debug/pprof/cmdline"), StartsWith("HTTP/1.1 200"));
    for (size_t i = 0; i < clients.size(); ++i) {
      const std::string answer = clients[i].ReceiveAll();
      answer.starts_with("HTTP/1.1 408") ? ++timed_out : ++replaced;
      EXPECT_TRUE(answer.empty() || i % 2 == 0) << answer;
    }
  }
  EXPECT_GT(timed_out, 0);
  EXPECT_GT(replaced, 0);
  EXPECT_TRUE(Eventually([&] { return server.connections() == 0; })) << server.connections();
  EXPECT_TRUE(Eventually([&] { return OpenFiles() <= files; })) << OpenFiles() << " of " << files;
}

TEST(DebugServerTest, AClientThatLeavesStopsItsProfile) {
  const DebugServer server = StartServer();
  {
    RawClient client(server.port());
    client.Send("GET /debug/pprof/profile?seconds=1000 HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(Eventually([&] { return server.connections() == 1; }));
    // Nobody else is kept waiting by it.
    EXPECT_THAT(Get(server.port(), "/debug/pprof/cmdline"), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_TRUE(Eventually([&] { return server.connections() == 0; }));
}

TEST(DebugServerTest, ItsEndStopsProfilesToo) {
  const auto start = std::chrono::steady_clock::now();
  {
    const DebugServer server = StartServer();
    RawClient client(server.port());
    client.Send("GET /debug/pprof/profile?seconds=1000 HTTP/1.1\r\n\r\n");
    RawClient idle(server.port());
    EXPECT_TRUE(Eventually([&] { return server.connections() == 2; }));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 500s);
  EXPECT_TRUE(StartCpuProfile().ok());
}

TEST(DebugServerTest, AnswersWhileAllWorkersAreHeld) {
  std::atomic<bool> stop = false;
  std::string index, profile;
  curg::Run(RuntimeOptions{.workers = 2, .long_slice = 0ns}, [&] {
    const DebugServer server = StartServer();
    std::thread client([&, port = server.port()] {
      index = Get(port, "/debug/pprof/");
      profile = Get(port, "/debug/pprof/profile?seconds=1");
      stop = true;
    });
    std::vector<JoinHandle<void>> loops;
    for (int i = 0; i < 80; ++i) {  // more than the workers that sysmon adds
      loops.push_back(Go([&stop] {
        while (!stop.load(std::memory_order_relaxed)) continue;
      }));
    }
    for (JoinHandle<void>& loop : loops) loop.Join();
    client.join();
  });
  EXPECT_THAT(index, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(profile, AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("filename=\"profile\"")));
}

// With a server there is a thread more in the process; it does not make a dead program look alive.
TEST(DebugServerDeathTest, ADeadlockIsStillFatal) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer has a thread, which might be about to send";
#endif
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(curg::Run([] {
                const DebugServer server = StartServer();
                Semaphore never(0);
                never.Acquire();
              }),
              ::testing::ExitedWithCode(2), "deadlock");
}

TEST(DebugServerTest, StreamsComeInChunks) {
  DebugServer server = StartServer();
  std::atomic<int> pieces = 0;
  std::atomic<bool> ended = false;
  server.pages().Add({.path = "/stream", .handler = [&](const DebugRequest& request) {
                        DebugResponse response = DebugResponse::Text("");
                        const int64_t count = request.query.GetInt("count").value_or(0);
                        response.stream = [&, count](const DebugSink& sink) {
                          for (int64_t i = 0; i < count; ++i) {
                            if (!sink(std::string(1000, 'x'))) break;
                            ++pieces;
                          }
                          ended = true;
                        };
                        return response;
                      }});
  server.pages().Add({.path = "/thread", .handler = [](const DebugRequest&) {
                        DebugResponse response = DebugResponse::Text("");
                        response.stream = [](const DebugSink& sink) {
                          internal::OnLargeStack([&] {
                            for (int i = 0; i < 100; ++i) sink(std::string(1000, '~'));
                          });
                        };
                        return response;
                      }});
  const std::string threaded = Get(server.port(), "/thread");
  EXPECT_THAT(threaded, EndsWith("~\r\n0\r\n\r\n"));
  EXPECT_EQ(std::count(threaded.begin(), threaded.end(), '~'), 100'000);
  const std::string answer = Get(server.port(), "/stream?count=100");
  EXPECT_THAT(answer,
              AllOf(HasSubstr("Transfer-Encoding: chunked\r\n"), EndsWith("\r\n0\r\n\r\n")));
  EXPECT_GT(answer.size(), 100'000u);
  ended = false;
  pieces = 0;
  {
    RawClient client(server.port());
    client.Send("GET /stream?count=10000000 HTTP/1.1\r\n\r\n");
    EXPECT_THAT(client.Receive(), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_TRUE(Eventually([&] { return ended.load(); }));  // the client left
  EXPECT_LT(pieces, 10'000'000);
}

}  // namespace
}  // namespace curg
