// SPDX-License-Identifier: Apache-2.0
#include "export/testing/test_outputs.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace curg::internal {
namespace {

std::string Text(const char* value) { return value == nullptr ? "" : value; }

// 0 for what is no number.
int Number(const char* value) {
  int number = 0;
  return absl::SimpleAtoi(Text(value), &number) && number > 0 ? number : 0;
}

bool Exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

std::optional<BazelTest> BazelTestFrom(const char* (*get)(const char* name)) {
  BazelTest test;
  test.outputs = Text(get("TEST_UNDECLARED_OUTPUTS_DIR"));
  if (test.outputs.empty()) return std::nullopt;
  test.target = Text(get("TEST_TARGET"));
  test.shards = Number(get("TEST_TOTAL_SHARDS"));
  if (test.shards > 0) test.shard = Number(get("TEST_SHARD_INDEX")) + 1;
  test.run = Number(get("TEST_RUN_NUMBER"));
  return test;
}

std::string TestOutputPath(const BazelTest& test, std::string_view stem, std::string_view suffix,
                           bool (*exists)(const std::string& path)) {
  std::string base = (std::filesystem::path(test.outputs) / stem).string();
  if (test.shards > 0) absl::StrAppend(&base, ".shard_", test.shard, "_of_", test.shards);
  if (test.run > 0) absl::StrAppend(&base, ".run_", test.run);
  const std::string end(suffix);
  std::string path = base + end;
  for (int attempt = 2; exists(path); ++attempt) {
    path = absl::StrCat(base, ".attempt_", attempt, end);
  }
  return path;
}

std::string TestOutputPath(const BazelTest& test, std::string_view stem, std::string_view suffix) {
  return TestOutputPath(test, stem, suffix, Exists);
}

}  // namespace curg::internal
