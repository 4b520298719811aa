// SPDX-License-Identifier: Apache-2.0
//
// Where a Bazel test leaves files for whoever looks at its results.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace curg::internal {

// What Bazel tells a test about itself, through the environment.
struct BazelTest {
  std::string outputs;  // TEST_UNDECLARED_OUTPUTS_DIR
  std::string target;   // TEST_TARGET, "//tests:a_test"
  int shard = 0;        // of shards, from 1; 0: not sharded
  int shards = 0;
  int run = 0;  // TEST_RUN_NUMBER, from 1; 0: it runs once
};

// `get` is getenv, or a test's. None: this is no Bazel test, or one without such a directory.
std::optional<BazelTest> BazelTestFrom(const char* (*get)(const char* name));

// The path for a file of this shard, run and attempt: "cpu.shard_2_of_3.run_1.attempt_2.pb.gz" with
// what does not apply left out. Bazel does not tell a test its attempt, but keeps what earlier ones
// left: the attempt is the first whose file `exists` does not know.
std::string TestOutputPath(const BazelTest& test, std::string_view stem, std::string_view suffix,
                           bool (*exists)(const std::string& path));

// The same, asking the file system.
std::string TestOutputPath(const BazelTest& test, std::string_view stem, std::string_view suffix);

}  // namespace curg::internal
