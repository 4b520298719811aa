// SPDX-License-Identifier: Apache-2.0
//
// A service to look at while it runs: sixteen clients ask three endpoints, each request is a task
// with labels, and /debug/pprof/ answers beside it.
//
//   ./bazelw run -c opt //examples:service
//
// You should see "listening on http://127.0.0.1:6060/debug/pprof/": open it in a browser, and
// "flame" there. Split by endpoint: /search has most of the time, in std::sort. With --hang two
// requests wait for each other for ever: the list of tasks shows both, and what they wait for.
// examples/guides/ says how to find such things.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "export/command_line.h"
#include "export/http/debug_server.h"
#include "labels/labels.h"
#include "runtime/go.h"
#include "runtime/sync/barrier.h"
#include "runtime/sync/mutex.h"

ABSL_FLAG(uint16_t, debug_port, 6060, "port of /debug/pprof/ on loopback; 0: any free one");
ABSL_FLAG(int, seconds, 0, "end after so long; 0: run until interrupted");
ABSL_FLAG(bool, hang, false, "let two requests wait for each other for ever");

namespace {

using std::chrono::milliseconds;

struct Account {
  curg::Mutex mutex;
  int64_t balance = 1000;
};

struct Bank {
  Account first;
  Account second;
  curg::Barrier meet{2};
};

[[gnu::noinline]] uint64_t Search(std::mt19937_64& random) {
  std::vector<uint64_t> hits(20'000);
  for (uint64_t& hit : hits) hit = random();
  std::sort(hits.begin(), hits.end());
  return hits.front();
}

[[gnu::noinline]] uint64_t Login(std::mt19937_64& random) {
  uint64_t hash = random();
  for (int i = 0; i < 400'000; ++i) hash = (hash ^ (hash >> 29)) * 0x9e3779b97f4a7c15;
  return hash;
}

[[gnu::noinline]] size_t Report(std::mt19937_64& random) {
  std::map<std::string, int> visits;
  for (int i = 0; i < 2'000; ++i) ++visits["/page/" + std::to_string(random() % 500)];
  return visits.size();
}

// Locks in the order of its arguments, which is the mistake. It shows when two meet between their
// locks.
[[gnu::noinline]] void Transfer(Account& from, Account& to, curg::Barrier& meet) {
  const std::lock_guard lock_from(from.mutex);
  meet.ArriveAndWait();
  const std::lock_guard lock_to(to.mutex);
  --from.balance;
  ++to.balance;
}

void Handle(const std::string& endpoint, std::mt19937_64& random) {
  if (endpoint == "/search") Search(random);
  if (endpoint == "/login") Login(random);
  if (endpoint == "/report") Report(random);
}

// One client, which asks again and again until `end`.
void Client(int number, std::chrono::steady_clock::time_point end) {
  constexpr std::array<const char*, 4> kEndpoints = {"/search", "/search", "/login", "/report"};
  std::mt19937_64 random(static_cast<uint64_t>(number));
  const std::string tenant = number % 4 == 0 ? "acme" : "others";
  while (std::chrono::steady_clock::now() < end) {
    const std::string endpoint = kEndpoints[random() % kEndpoints.size()];
    const curg::ScopedLabels labels({{"endpoint", endpoint}, {"tenant", tenant}});
    curg::Go([&] { Handle(endpoint, random); }).Join();  // the request's task inherits the labels
    curg::SleepFor(milliseconds(5 + random() % 20));
  }
}

int Serve() {
  absl::StatusOr<curg::DebugServer> debug =
      curg::DebugServer::Start({.port = absl::GetFlag(FLAGS_debug_port)});
  if (!debug.ok()) {
    std::fprintf(stderr, "service: %s\n", std::string(debug.status().message()).c_str());
    return 1;
  }
  std::printf("listening on %s\n", debug->url().c_str());
  std::fflush(stdout);

  const int seconds = absl::GetFlag(FLAGS_seconds);
  const auto end = seconds == 0 ? std::chrono::steady_clock::time_point::max()
                                : std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  // Never destroyed: those that hang hold it.
  Bank& bank = *new Bank;
  if (absl::GetFlag(FLAGS_hang)) {
    curg::KeepMutexOwners(true);  // so that dumps know who holds what
    const curg::ScopedLabels labels({{"endpoint", "/transfer"}});
    curg::Go({.name = "transfer there"}, [&] {
      Transfer(bank.first, bank.second, bank.meet);
    }).Detach();
    curg::Go({.name = "transfer back"}, [&] {
      Transfer(bank.second, bank.first, bank.meet);
    }).Detach();
  }
  std::vector<curg::JoinHandle<void>> clients;
  for (int i = 0; i < 16; ++i) clients.push_back(curg::Go([i, end] { Client(i, end); }));
  for (curg::JoinHandle<void>& client : clients) client.Join();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  curg::ParseCommandLine(argc, argv,
                         "A service to look at while it runs, by its /debug/pprof/.\n\n"
                         "  service --debug_port=6060\n  service --hang");
  return curg::Run(Serve);
}
