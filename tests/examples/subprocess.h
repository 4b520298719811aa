// SPDX-License-Identifier: Apache-2.0
//
// RunProgram: runs a program to its end and keeps what it printed; and small help with files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace curg {

struct ProgramResult {
  int status = -1;  // exit status; 128 + signal when one killed it
  std::string out;  // standard output
  std::string err;  // standard error
};

struct ProgramOptions {
  // "NAME=value", besides what the test itself has.
  std::vector<std::string> environment = {};
  std::string directory = {};  // to start in; empty: the test's own
  int out_fd = -1;             // standard output instead of ProgramResult::out
  int err_fd = -1;             // standard error instead of ProgramResult::err
  // File permissions count, also when the test runs as root.
  bool obeys_permissions = false;
};

// argv[0] is the program's path, relative to the test's own directory. Blocks: the thread.
ProgramResult RunProgram(std::vector<std::string> argv, const ProgramOptions& options = {});

// The absolute path of a program that the test's BUILD rule names by an environment variable.
std::string ProgramPath(const char* variable);

// A new, empty directory, removed by nobody but the test runner.
std::string NewDirectory();

void WriteFile(const std::string& path, std::string_view content);
std::string ReadFile(const std::string& path);

}  // namespace curg
