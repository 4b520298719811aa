// SPDX-License-Identifier: Apache-2.0
//
// symbolize_addresses FILE: reads addresses of an ELF file from standard input, one a line, and
// prints their frames as llvm-symbolizer does; how long that took goes to standard error, in
// seconds.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "export/symbolize.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: symbolize_addresses FILE < ADDRESSES\n");
    return 2;
  }
  std::vector<uintptr_t> addresses;
  for (std::string line; std::getline(std::cin, line);) {
    addresses.push_back(std::stoull(line, nullptr, 16));
  }
  // As if it were loaded at its own addresses.
  curg::CpuProfileMapping mapping;
  mapping.limit = UINTPTR_MAX;
  mapping.path = argv[1];
  const auto start = std::chrono::steady_clock::now();
  curg::Symbolizer symbolizer({&mapping, 1});
  for (const uintptr_t address : addresses) symbolizer.FramesAt(address);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  for (const uintptr_t address : addresses) {
    for (const curg::Frame& frame : symbolizer.FramesAt(address)) {
      std::printf("%s\n%s:%d\n", frame.function.c_str(), frame.file.c_str(), frame.line);
    }
    std::printf("\n");
  }
  std::fprintf(stderr, "%.3f\n", seconds.count());
  return 0;
}
