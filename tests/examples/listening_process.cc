// SPDX-License-Identifier: Apache-2.0
#include "tests/examples/listening_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <regex>

#include "gtest/gtest.h"

extern char** environ;

namespace curg {

ListeningProcess::ListeningProcess(std::vector<std::string> argv, int count) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  out_ = ends[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  std::vector<char*> arguments;
  for (std::string& argument : argv) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  EXPECT_EQ(posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);

  const std::regex listening("listening on \\S*:([0-9]+)(/\\S*)?");
  std::string line;
  char c = 0;
  while (ports_.size() < static_cast<size_t>(count) && read(out_, &c, 1) == 1) {
    if (c != '\n') {
      line += c;
      continue;
    }
    std::smatch match;
    if (std::regex_match(line, match, listening)) {
      ports_.push_back(static_cast<uint16_t>(std::stoi(match[1])));
    }
    line.clear();
  }
}

ListeningProcess::~ListeningProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(out_);
}

int ListeningProcess::Stop() {
  kill(pid_, SIGTERM);
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace curg
