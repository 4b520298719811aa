// SPDX-License-Identifier: Apache-2.0
//
// A real service under load, asked by the real `go tool pprof` and by curl.

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/listening_process.h"
#include "tests/examples/subprocess.h"
#include "tests/export/http/raw_client.h"

namespace curg {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Clients that ask all the time, three times as much for one tenant as for the other.
class Load {
 public:
  explicit Load(uint16_t port) {
    for (int i = 0; i < 4; ++i) {
      threads_.emplace_back([this, port, i] {
        RawClient client(port);
        const std::string tenant = i == 3 ? "initech" : "acme";
        while (!stop_) {
          client.Send("GET /primes?below=100000&tenant=" + tenant + " HTTP/1.1\r\nHost: x\r\n\r\n");
          if (client.ReceiveAnswer().empty()) break;
          ++answers_;
        }
      });
    }
  }
  ~Load() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

  int answers() const { return answers_; }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<int> answers_ = 0;
  std::vector<std::thread> threads_;
};

class WebserverTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = std::make_unique<ListeningProcess>(
        std::vector<std::string>{ProgramPath("WEBSERVER"), "--port=0", "--debug_port=0"}, 2);
    ASSERT_EQ(server_->ports().size(), 2u);
    load_ = std::make_unique<Load>(server_->ports()[0]);
  }
  static void TearDownTestSuite() {
    if (load_ == nullptr) return;  // it did not start
    EXPECT_GT(load_->answers(), 0);
    load_.reset();
    EXPECT_EQ(server_->Stop(), 0);
  }

  static std::string Url(const std::string& path) {
    return "http://127.0.0.1:" + std::to_string(server_->ports()[1]) + "/debug/pprof/" + path;
  }

  static std::string Pprof(std::vector<std::string> arguments) {
    // However long a busy machine takes to look up symbols.
    arguments.insert(arguments.begin(), {ProgramPath("CURG_PPROF"), "-timeout=100"});
    const std::string home = NewDirectory();
    const ProgramResult result =
        RunProgram(arguments, {.environment = {"HOME=" + home, "PPROF_TMPDIR=" + home}});
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
  }

  // Header and body.
  static std::string Curl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"/usr/bin/curl", "-s", "-i", "--max-time", "60"});
    const ProgramResult result = RunProgram(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
  }

  static inline std::unique_ptr<ListeningProcess> server_;
  static inline std::unique_ptr<Load> load_;
};

TEST_F(WebserverTest, PprofFetchesAProfile) {
  const std::string top = Pprof({"-top", Url("profile?seconds=2")});
  EXPECT_THAT(
      top, AllOf(HasSubstr("File: webserver\n"), HasSubstr("Type: cpu\n"), HasSubstr("IsPrime")));
}

TEST_F(WebserverTest, PprofAddsItsOwnSecondsAndSeesLabels) {
  const std::string tags = Pprof({"-tags", "-seconds=2", Url("profile")});
  EXPECT_THAT(tags,
              AllOf(HasSubstr(": /primes\n"), HasSubstr(": acme\n"), HasSubstr(": initech\n")));
  const std::string filtered = Pprof({"-tags", Url("profile?seconds=1&label=tenant=initech")});
  EXPECT_THAT(filtered, AllOf(HasSubstr(": initech\n"), Not(HasSubstr(": acme\n"))));
}

TEST_F(WebserverTest, CurlSeesGosHeadersAndStatusCodes) {
  EXPECT_THAT(Curl({Url("")}), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"),
                                     HasSubstr("Content-Type: text/html; charset=utf-8\r\n"),
                                     HasSubstr("href='profile'")));
  EXPECT_THAT(Curl({Url("cmdline")}), HasSubstr("webserver"));
  EXPECT_THAT(
      Curl({Url("nothing")}),
      AllOf(StartsWith("HTTP/1.1 404 Not Found\r\n"), HasSubstr("X-Go-Pprof: 1\r\n"),
            HasSubstr("X-Content-Type-Options: nosniff\r\n"), HasSubstr("Unknown profile\n")));
  EXPECT_THAT(Curl({"-X", "DELETE", Url("profile")}),
              StartsWith("HTTP/1.1 405 Method Not Allowed\r\n"));
  EXPECT_THAT(Curl({Url("profile?seconds=1&hz=0")}), StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(Curl({"-o", "/dev/null", "-D", "-", Url("profile?seconds=1")}),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"),
                    HasSubstr("Content-Type: application/octet-stream\r\n"),
                    HasSubstr("Content-Disposition: attachment; filename=\"profile\"\r\n")));
  EXPECT_THAT(Curl({Url("profile?seconds=1&format=folded")}),
              ContainsRegex("\n[^\n]*CountPrimes;[^\n]*IsPrime [0-9]+\n"));
}

}  // namespace
}  // namespace curg
