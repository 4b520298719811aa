// SPDX-License-Identifier: Apache-2.0
//
// ServerProcess: an example that listens, while a test talks to it.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/check.h"
#include "runtime/io/socket_address.h"
#include "tests/examples/subprocess.h"

namespace curg {

class ServerProcess {
 public:
  // Starts the program that the environment variable names; waits until it says "listening at
  // ADDRESS".
  ServerProcess(const char* variable, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), ProgramPath(variable));
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    int pipe_fds[2];
    CURG_CHECK(pipe(pipe_fds) == 0, "free file descriptors");
    child_ = fork();
    if (child_ == 0) {
      dup2(pipe_fds[1], STDOUT_FILENO);
      close(pipe_fds[0]);
      close(pipe_fds[1]);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(pipe_fds[1]);
    output_ = fdopen(pipe_fds[0], "r");
    const std::string line = ReadLine();
    constexpr std::string_view kBegin = "listening at ";
    CURG_CHECK(line.starts_with(kBegin), "the example must start");
    address_ = SocketAddress::Parse(line.substr(kBegin.size())).value();
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess() {
    if (child_ > 0) {
      Signal(SIGKILL);
      Wait();
    }
    std::fclose(output_);
  }

  const SocketAddress& address() const { return address_; }
  void Signal(int signal) const { kill(child_, signal); }

  // The next line of its output, without the end of the line. Blocks: the thread.
  std::string ReadLine() {
    char line[512] = "";
    if (std::fgets(line, sizeof(line), output_) == nullptr) return "";
    std::string text = line;
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }

  // Its exit status, or minus the signal that ended it. Once. Blocks: the thread.
  int Wait() {
    int status = 0;
    waitpid(std::exchange(child_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t child_ = 0;
  std::FILE* output_ = nullptr;
  SocketAddress address_;
};

}  // namespace curg
