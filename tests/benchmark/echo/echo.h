// SPDX-License-Identifier: Apache-2.0
//
// What the C++ servers of the echo comparison share: they start the load, and print what it
// measured.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/benchmark/peers/measure.h"

namespace peers {

// Runs the load (the program that CURG_ECHO_LOAD names) against this process's server and reports.
// Blocks the thread.
inline void RunEchoLoad(int port, const Arguments& arguments) {
  const char* const program = std::getenv("CURG_ECHO_LOAD");
  const std::string command = std::string(program != nullptr ? program : "echo_load") +
                              " --workload=" + arguments.workload +
                              " --port=" + std::to_string(port) +
                              " --connections=" + std::to_string(arguments.tasks) +
                              " --requests=" + std::to_string(arguments.ops);
  std::FILE* const load = popen(command.c_str(), "r");
  char line[256];
  if (load == nullptr || std::fgets(line, sizeof(line), load) == nullptr) std::exit(4);
  for (const char* reported = line; *line == '{'; reported = std::fgets(line, sizeof(line), load)) {
    if (reported == nullptr) std::_Exit(0);
    std::fputs(line, stdout);
    std::fflush(stdout);
  }
  Stretch stretch;
  if (std::fgets(line, sizeof(line), load) == nullptr) std::exit(4);
  stretch.Stop();
  long long requests = 0;
  long long p50 = 0;
  long long p99 = 0;
  if (std::sscanf(line, "end %lld %lld %lld", &requests, &p50, &p99) != 3) std::exit(4);
  ReportPerOp("", "ns/request", requests, stretch);
  Report("cpu", "ns/request", static_cast<double>(stretch.cpu_ns()) / static_cast<double>(requests),
         stretch);
  Report("p50", "us", static_cast<double>(p50) / 1e3, stretch);
  Report("p99", "us", static_cast<double>(p99) / 1e3, stretch);
  std::_Exit(0);  // the server never ends by itself
}

}  // namespace peers
