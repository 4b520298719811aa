// SPDX-License-Identifier: Apache-2.0
//
// The load of the echo comparison: connections that each send 64 bytes, wait for them to come back, and send again.
//
//   echo_load --port=P --connections=N --requests=N
//
// Prints "begin" once it is warm, and "end REQUESTS P50_NS P99_NS" when the requests are done.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
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
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) Die("connect");
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
  const ssize_t got = recv(connection.fd, data, kSize - connection.got, MSG_DONTWAIT);
  if (got <= 0) Die("recv");
  connection.got += static_cast<size_t>(got);
  return connection.got == kSize;
}

class Load {
 public:
  Load(int port, int connections) : epoll_(epoll_create1(0)), connections_(static_cast<size_t>(connections)) {
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

 private:
  int epoll_;
  std::vector<Connection> connections_;
};

int64_t Argument(int argc, char** argv, std::string_view name) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(name)) return std::atoll(argv[i] + name.size());
  }
  std::fprintf(stderr, "echo_load: %s is missing\n", std::string(name).c_str());
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t requests = Argument(argc, argv, "--requests=");
  Pin();
  Load load(static_cast<int>(Argument(argc, argv, "--port=")),
            static_cast<int>(Argument(argc, argv, "--connections=")));
  load.Run(requests / 5 + 1, nullptr);
  std::printf("begin\n");
  std::fflush(stdout);
  std::vector<int64_t> delays;
  delays.reserve(static_cast<size_t>(requests) + 256);
  load.Run(requests, &delays);
  std::sort(delays.begin(), delays.end());
  std::printf("end %zu %lld %lld\n", delays.size(), static_cast<long long>(delays[delays.size() / 2]),
              static_cast<long long>(delays[delays.size() * 99 / 100]));
  return 0;
}
