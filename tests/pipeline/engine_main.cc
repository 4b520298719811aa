// SPDX-License-Identifier: Apache-2.0
//
// The main function of tests that run once for each engine, which CURG_CPU_ENGINE names.
#include <cstdio>
#include <string>

#include "gtest/gtest.h"
#include "profiler/cpu_profiler.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (const auto tried = curg::StartCpuProfile(); !tried.ok()) {
    const absl::StatusCode code = tried.status().code();
    const bool refused = code == absl::StatusCode::kPermissionDenied ||
                         code == absl::StatusCode::kUnavailable ||
                         code == absl::StatusCode::kUnimplemented;
    std::fprintf(stderr, "%s: %s\n", refused ? "not run" : "error",
                 tried.status().ToString().c_str());
    return refused ? 0 : 1;
  }
  return RUN_ALL_TESTS();
}
