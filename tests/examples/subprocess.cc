// SPDX-License-Identifier: Apache-2.0
#include "tests/examples/subprocess.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "runtime/check.h"

namespace curg {
namespace {

// In the child, between fork and exec.
[[noreturn]] void Exec(const std::vector<std::string>& argv, const ProgramOptions& options, int out,
                       int err) {
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  // On a busy machine any task may be one that keeps its worker for long.
  setenv("CURG_LONG_SLICE_MS", "0", 1);
  for (const std::string& variable : options.environment) {
    const size_t equals = variable.find('=');
    setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
  }
  if (options.obeys_permissions) {
    // What root keeps across exec is bounded by this set. Refused to others, who have neither.
    (void)prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0);
    (void)prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH, 0, 0, 0);
  }
  if (!options.directory.empty() && chdir(options.directory.c_str()) != 0) _exit(126);
  std::vector<char*> pointers;
  for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  execv(pointers[0], pointers.data());
  _exit(127);
}

std::string ReadAll(int fd) {
  std::string text(static_cast<size_t>(lseek(fd, 0, SEEK_END)), '\0');
  CURG_CHECK(pread(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()),
             "a memory file can be read");
  close(fd);
  return text;
}

}  // namespace

ProgramResult RunProgram(std::vector<std::string> argv, const ProgramOptions& options) {
  // Files in memory, not pipes: they are never full.
  const int out = memfd_create("out", MFD_CLOEXEC);
  const int err = memfd_create("err", MFD_CLOEXEC);
  if (char* const path = realpath(argv[0].c_str(), nullptr)) {
    argv[0] = path;
    std::free(path);
  }
  const pid_t pid = fork();
  CURG_CHECK(pid >= 0 && out >= 0 && err >= 0, "the machine has processes and memory left");
  if (pid == 0) {
    Exec(argv, options, options.out_fd >= 0 ? options.out_fd : out,
         options.err_fd >= 0 ? options.err_fd : err);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  ProgramResult result;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = ReadAll(out);
  result.err = ReadAll(err);
  return result;
}

std::string ProgramPath(const char* variable) {
  const char* const value = std::getenv(variable);
  CURG_CHECK(value != nullptr, "the test's BUILD rule names the program");
  char* const path = realpath(value, nullptr);
  CURG_CHECK(path != nullptr, "the test's BUILD rule has the program in its data");
  std::string result = path;
  std::free(path);
  return result;
}

std::string NewDirectory() {
  const char* const root = std::getenv("TEST_TMPDIR");
  std::string path = std::string(root != nullptr ? root : "/tmp") + "/tree.XXXXXX";
  CURG_CHECK(mkdtemp(path.data()) != nullptr, "the test's directory can be written");
  return path;
}

void WriteFile(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  CURG_CHECK(file.flush().good(), "the test's directory can be written");
}

std::string ReadFile(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

}  // namespace curg
