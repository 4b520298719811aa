// SPDX-License-Identifier: Apache-2.0
//
// A small web service in blocking style, a task for each connection, with labels for endpoint and
// tenant, and a debug server beside it that says at any time where the CPU goes, and for whom.
//
//   ./bazelw run -c opt //examples:webserver -- --port=8080 --debug_port=6060
//   curl 'http://localhost:8080/primes?below=3000000&tenant=acme'
//   curl -d 'to be or not to be' 'http://localhost:8080/words?tenant=initech'
//   go tool pprof -tags 'http://localhost:6060/debug/pprof/profile?seconds=5'
//
// You will see both addresses, and, while requests come in, the CPU time of each endpoint and
// tenant, whatever worker it was used on. Port 0 takes a free one. Ctrl-C ends it.

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "export/command_line.h"
#include "export/http/debug_server.h"
#include "export/http/url_query.h"
#include "export/reports.h"
#include "labels/labels.h"
#include "runtime/go.h"
#include "runtime/io/asio_stream.h"
#include "runtime/io/tcp.h"
#include "runtime/io/use_task.h"

ABSL_FLAG(uint16_t, port, 8080, "where the service listens, on loopback; 0: a free port");
ABSL_FLAG(uint16_t, debug_port, 6060, "where /debug/pprof/ is, on loopback; 0: a free port");

namespace {

namespace http = boost::beast::http;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

[[gnu::noinline]] bool IsPrime(int64_t number) {
  for (int64_t factor = 2; factor * factor <= number; ++factor) {
    if (number % factor == 0) return false;
  }
  return number >= 2;
}

[[gnu::noinline]] std::string CountPrimes(int64_t below) {
  int64_t count = 0;
  for (int64_t number = 0; number < below; ++number) {
    count += IsPrime(number);
    if (number % 10'000 == 0) curg::Yield();  // others have their turn
  }
  return absl::StrCat(count, " primes below ", below, "\n");
}

[[gnu::noinline]] std::string CountWords(const std::string& text) {
  std::map<std::string, int> counts;
  std::istringstream words(text);
  for (std::string word; words >> word;) ++counts[word];
  std::vector<std::pair<std::string, int>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](auto& a, auto& b) { return a.second > b.second; });
  std::string result;
  for (const auto& [word, count] : sorted) absl::StrAppend(&result, count, " ", word, "\n");
  return result;
}

Response Text(http::status status, std::string body) {
  Response response(status, 11);
  response.set(http::field::content_type, "text/plain; charset=utf-8");
  response.body() = std::move(body);
  return response;
}

Response Answer(const std::string& path, const curg::UrlQuery& query, const Request& request) {
  if (path == "/primes") {
    const int64_t below = query.GetInt("below").value_or(100'000);
    if (below < 0 || below > 100'000'000)
      return Text(http::status::bad_request, "0 to 100000000\n");
    return Text(http::status::ok, CountPrimes(below));
  }
  if (path == "/words") return Text(http::status::ok, CountWords(request.body()));
  if (path == "/wait") {
    curg::SleepFor(std::chrono::milliseconds(
        std::clamp<int64_t>(query.GetInt("ms").value_or(100), 0, 60'000)));
    return Text(http::status::ok, "waited\n");
  }
  if (path == "/") return Text(http::status::ok, "try /primes?below=N, /words, /wait?ms=N\n");
  return Text(http::status::not_found, "no such page\n");
}

Response Handle(const Request& request) {
  const std::string target(request.target());
  const size_t mark = std::min(target.find('?'), target.size());
  const curg::UrlQuery query =
      curg::UrlQuery::Parse(target.substr(std::min(mark + 1, target.size())));
  const std::string path = target.substr(0, mark);
  // Everything done for this request, and by tasks it may start, is under these labels.
  curg::ScopedLabels labels({{"endpoint", path}, {"tenant", query.Get("tenant")}});
  return Answer(path, query, request);
}

void Serve(curg::TcpStream connection) {
  curg::AsioStream stream(connection);
  boost::beast::flat_buffer buffer;
  boost::system::error_code error;
  while (true) {
    Request request;
    stream.SetLimits(curg::Deadline::After(std::chrono::seconds(60)));
    http::read(stream, buffer, request, error);
    if (error) return;
    Response response = Handle(request);
    response.keep_alive(request.keep_alive());
    response.prepare_payload();
    http::write(stream, response, error);
    if (error || !response.keep_alive()) return;
  }
}

void AcceptAll(curg::TcpListener listener, std::stop_token stop) {
  while (!stop.stop_requested()) {
    absl::StatusOr<curg::TcpStream> connection = listener.Accept(curg::Deadline::Never(), stop);
    if (connection.ok()) {
      (void)curg::Go({.name = "connection"}, [connection = *std::move(connection)]() mutable {
        Serve(std::move(connection));
      });
    } else {
      curg::SleepFor(std::chrono::milliseconds(10), stop);  // out of file descriptors, say
    }
  }
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "webserver: %s\n", std::string(status.message()).c_str());
  return 1;
}

int Main() {
  absl::StatusOr<curg::TcpListener> listener =
      curg::TcpListener::Listen(curg::SocketAddress::Loopback(absl::GetFlag(FLAGS_port)));
  if (!listener.ok()) return Fail(listener.status());
  absl::StatusOr<curg::DebugServer> debug =
      curg::DebugServer::Start({.port = absl::GetFlag(FLAGS_debug_port)});
  if (!debug.ok()) return Fail(debug.status());
  // Before anybody knows where it listens: from here on SIGTERM ends it well.
  boost::asio::signal_set signals(curg::IoExecutor(), SIGINT, SIGTERM);
  std::printf("listening on http://%s/\n", listener->local_address().ToString().c_str());
  std::printf("listening on %s\n", debug->url().c_str());
  std::fflush(stdout);

  std::stop_source stop;
  curg::JoinHandle<void> accepting = curg::Go(
      {.name = "accept"}, [listener = *std::move(listener), token = stop.get_token()]() mutable {
        AcceptAll(std::move(listener), token);
      });
  signals.async_wait(curg::UseTask());
  stop.request_stop();
  accepting.Join();
  std::printf("stopped\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  curg::ParseCommandLine(
      argc, argv,
      "A small web service with labelled endpoints, and /debug/pprof/ beside it.\n\n"
      "  webserver --port=8080 --debug_port=6060");
  curg::InstallReports();
  return curg::Run(Main);
}
