// SPDX-License-Identifier: Apache-2.0
//
// ListeningProcess: a program that runs beside the test, says where it listens, and ends when told
// to.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace curg {

class ListeningProcess {
 public:
  // Starts it, and reads its standard output until it has said "listening on ...:PORT..." `count`
  // times. Blocks: the thread.
  ListeningProcess(std::vector<std::string> argv, int count);
  // Kills it if it still runs.
  ~ListeningProcess();
  ListeningProcess(const ListeningProcess&) = delete;
  ListeningProcess& operator=(const ListeningProcess&) = delete;

  // In the order in which it said them; fewer when it ended before.
  const std::vector<uint16_t>& ports() const { return ports_; }
  pid_t pid() const { return pid_; }

  // Sends SIGTERM and waits for its end; its exit status, or 128 + the signal that ended it.
  int Stop();

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  std::vector<uint16_t> ports_;
};

}  // namespace curg
