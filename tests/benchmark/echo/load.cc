// SPDX-License-Identifier: Apache-2.0
//
// The load of the echo comparison: connections that each send 64 bytes, wait for them to come back,
// and send again.
//
//   echo_load --workload=echo --port=P --connections=N --requests=N
//
// Prints "begin" once it is warm, and "end REQUESTS P50_NS P99_NS" when the requests are done. Two
// other workloads print what is to be reported themselves, a line of JSON each:
//
//   echo_wake   one connection, a request every millisecond; the load spins, so that what it waits
//               for is the server
//   echo_idle   connections that say nothing after one request each: what they cost the server
//               meanwhile
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr size_t kSize = 64;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int64_t NowNs() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Connection {
  int fd = -1;
  size_t got = 0;
  int64_t sent_at = 0;
};

// The CPUs that the server leaves: the second half, if there are two.
void Pin() {
  const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  cpu_set_t set;
  CPU_ZERO(&set);
  for (long cpu = cpus / 2; cpu < cpus; ++cpu) CPU_SET(static_cast<size_t>(cpu), &set);
  sched_setaffinity(0, sizeof(set), &set);
}

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) Die("socket");
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    Die("connect");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

void Send(Connection& connection) {
  static const char message[kSize] = "sixty-four bytes";
  connection.got = 0;
  connection.sent_at = NowNs();
  if (send(connection.fd, message, kSize, MSG_NOSIGNAL) != kSize) Die("send");
}

// True: the whole answer is there.
bool Receive(Connection& connection) {
  char data[kSize];
  const ssize_t got = recv(connection.fd, data, kSize - connection.got, 0);
  if (got <= 0) Die("recv");
  connection.got += static_cast<size_t>(got);
  return connection.got == kSize;
}

class Load {
 public:
  Load(int port, int connections)
      : epoll_(epoll_create1(0)), connections_(static_cast<size_t>(connections)) {
    for (Connection& connection : connections_) {
      connection.fd = Connect(port);
      epoll_event event = {.events = EPOLLIN, .data = {.ptr = &connection}};
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event) != 0) Die("epoll_ctl");
    }
    for (Connection& connection : connections_) Send(connection);
  }

  // Goes on for so many requests; keeps their times if `delays` is not null.
  void Run(int64_t requests, std::vector<int64_t>* delays) {
    epoll_event events[256];
    while (requests > 0) {
      const int count = epoll_wait(epoll_, events, 256, 20'000);
      if (count <= 0) Die("no answer");
      for (int i = 0; i < count; ++i) {
        auto& connection = *static_cast<Connection*>(events[i].data.ptr);
        if (!Receive(connection)) continue;
        if (delays != nullptr) delays->push_back(NowNs() - connection.sent_at);
        --requests;
        Send(connection);
      }
    }
  }

  // Waits for the answers that are left.
  void Finish() {
    for (Connection& connection : connections_) {
      while (!Receive(connection)) {
      }
    }
  }

 private:
  int epoll_;
  std::vector<Connection> connections_;
};

const char* Argument(int argc, char** argv, std::string_view name) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(name)) return argv[i] + name.size();
  }
  std::fprintf(stderr, "echo_load: %s is missing\n", std::string(name).c_str());
  std::exit(2);
}

int64_t At(const std::vector<int64_t>& sorted, size_t percent) {
  return sorted[sorted.size() * percent / 100];
}

// The server, whose child this is, perhaps by way of a shell.
class Server {
 public:
  Server() : pid_(getppid()) {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    std::string word, name;
    status >> word >> name;
    while (name == "sh" && status >> word) {
      if (word == "PPid:") status >> pid_;
    }
  }

  // Of all its threads.
  int64_t CpuNs() const {
    int64_t sum = 0;
    const std::string folder = "/proc/" + std::to_string(pid_) + "/task";
    DIR* const tasks = opendir(folder.c_str());
    if (tasks == nullptr) Die("opendir");
    while (const dirent* const entry = readdir(tasks)) {
      int64_t ns = 0;
      std::ifstream(folder + "/" + entry->d_name + "/schedstat") >> ns;
      sum += ns;
    }
    closedir(tasks);
    return sum;
  }

  // Resident memory and page tables.
  int64_t Bytes() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    int64_t sum = 0;
    for (std::string word; status >> word;) {
      int64_t kib = 0;
      if ((word == "VmRSS:" || word == "VmPTE:") && status >> kib) sum += kib * 1024;
    }
    return sum;
  }

 private:
  pid_t pid_;
};

void Report(const char* metric, const char* unit, double value, int64_t wall_ns, int64_t cpu_ns) {
  std::printf(
      "{\"metric\": \"%s\", \"unit\": \"%s\", \"value\": %.3f, \"wall_ns\": %lld, \"cpu_ns\": "
      "%lld}\n",
      metric, unit, value, static_cast<long long>(wall_ns), static_cast<long long>(cpu_ns));
}

void SpinUntil(int64_t time) {
  while (NowNs() < time) {
  }
}

void RunWake(int port, int64_t requests) {
  const Server server;
  Connection connection;
  connection.fd = Connect(port);
  std::vector<int64_t> delays;
  const int64_t warm = requests / 10;
  int64_t start = 0, cpu = 0;
  for (int64_t i = 0; i < warm + requests; ++i) {
    if (i == warm) {
      delays.clear();
      start = NowNs();
      cpu = server.CpuNs();
    }
    SpinUntil(NowNs() + 1'000'000);
    Send(connection);
    char data[kSize];
    for (size_t got = 0; got < kSize;) {
      const ssize_t more = recv(connection.fd, data, sizeof(data), MSG_DONTWAIT);
      if (more == 0 || (more < 0 && errno != EAGAIN)) Die("recv");
      if (more > 0) got += static_cast<size_t>(more);
      if (NowNs() - connection.sent_at > 20'000'000'000) Die("no answer");
    }
    delays.push_back(NowNs() - connection.sent_at);
  }
  const int64_t wall = NowNs() - start;
  cpu = server.CpuNs() - cpu;
  std::sort(delays.begin(), delays.end());
  Report("p50", "us", static_cast<double>(At(delays, 50)) / 1e3, wall, cpu);
  Report("p99", "us", static_cast<double>(At(delays, 99)) / 1e3, wall, cpu);
}

void RunIdle(int port, int connections, int64_t seconds) {
  const Server server;
  const int64_t before = server.Bytes();
  Load load(port, connections);
  load.Finish();
  std::this_thread::sleep_for(std::chrono::seconds(2));  // what is cached for a while is given back
  const int64_t bytes = server.Bytes() - before;
  const int64_t start = NowNs(), cpu = server.CpuNs();
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  const int64_t wall = NowNs() - start, used = server.CpuNs() - cpu;
  Report("cpu", "us/s", static_cast<double>(used) / 1e3 / static_cast<double>(seconds), wall, used);
  Report("memory", "B/connection", static_cast<double>(bytes) / connections, wall, used);
}

void RunEcho(int port, int connections, int64_t requests) {
  Load load(port, connections);
  load.Run(requests / 5 + 1, nullptr);
  std::printf("begin\n");
  std::fflush(stdout);
  std::vector<int64_t> delays;
  delays.reserve(static_cast<size_t>(requests) + 256);
  load.Run(requests, &delays);
  std::sort(delays.begin(), delays.end());
  std::printf("end %zu %lld %lld\n", delays.size(), static_cast<long long>(At(delays, 50)),
              static_cast<long long>(At(delays, 99)));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view workload = Argument(argc, argv, "--workload=");
  const int64_t requests = std::atoll(Argument(argc, argv, "--requests="));
  const int port = std::atoi(Argument(argc, argv, "--port="));
  const int connections = std::atoi(Argument(argc, argv, "--connections="));
  Pin();
  if (workload == "echo_wake") {
    RunWake(port, requests);
  } else if (workload == "echo_idle") {
    RunIdle(port, connections, requests / connections);
  } else {
    RunEcho(port, connections, requests);
  }
  return 0;
}
