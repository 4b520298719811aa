// SPDX-License-Identifier: Apache-2.0
#include "export/testing/test_outputs.h"

#include <map>
#include <string>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

std::map<std::string, std::string>& Variables() {
  static std::map<std::string, std::string> variables;
  return variables;
}

const char* Get(const char* name) {
  const auto found = Variables().find(name);
  return found == Variables().end() ? nullptr : found->second.c_str();
}

bool Nothing(const std::string&) { return false; }

std::string Path(bool (*exists)(const std::string&) = Nothing) {
  return TestOutputPath(BazelTestFrom(Get).value(), "cpu", ".pb.gz", exists);
}

TEST(TestOutputs, OnlyUnderBazel) {
  Variables() = {{"TEST_TARGET", "//a:b"}};
  EXPECT_FALSE(BazelTestFrom(Get).has_value());
  Variables() = {{"TEST_UNDECLARED_OUTPUTS_DIR", ""}};
  EXPECT_FALSE(BazelTestFrom(Get).has_value());
}

TEST(TestOutputs, NamesWhatTellsRunsApart) {
  Variables() = {{"TEST_UNDECLARED_OUTPUTS_DIR", "/out"}};
  EXPECT_EQ(Path(), "/out/cpu.pb.gz");
  Variables()["TEST_TOTAL_SHARDS"] = "5";
  Variables()["TEST_SHARD_INDEX"] = "0";
  EXPECT_EQ(Path(), "/out/cpu.shard_1_of_5.pb.gz");
  Variables()["TEST_RUN_NUMBER"] = "2";
  EXPECT_EQ(Path(), "/out/cpu.shard_1_of_5.run_2.pb.gz");
  EXPECT_EQ(Path([](const std::string& path) { return path.find("attempt_3") == path.npos; }),
            "/out/cpu.shard_1_of_5.run_2.attempt_3.pb.gz");
}

TEST(TestOutputs, IgnoresWhatIsNoNumber) {
  Variables() = {{"TEST_UNDECLARED_OUTPUTS_DIR", "/out"},
                 {"TEST_TOTAL_SHARDS", "0"},
                 {"TEST_SHARD_INDEX", "x"},
                 {"TEST_RUN_NUMBER", "-1"}};
  EXPECT_EQ(Path(), "/out/cpu.pb.gz");
}

}  // namespace
}  // namespace curg::internal
