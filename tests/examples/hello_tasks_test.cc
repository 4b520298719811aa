// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

TEST(HelloTasks, IsTheProgramOfTheReadme) {
  const std::string readme = ReadFile(ProgramPath("README"));
  const std::string source = ReadFile(ProgramPath("HELLO_TASKS_SOURCE"));
  constexpr std::string_view kOpen = "\n```cpp\n";
  const size_t open = readme.find(kOpen);
  ASSERT_NE(open, std::string::npos) << "README.md shows no program";
  const size_t begin = open + kOpen.size();
  const std::string shown = readme.substr(begin, readme.find("\n```\n", begin) + 1 - begin);
  EXPECT_EQ(shown, source.substr(source.find("#include")));
}

TEST(HelloTasks, SumsAndWritesAProfile) {
  const std::string directory = NewDirectory();
  const ProgramResult result = RunProgram({ProgramPath("HELLO_TASKS")}, {.directory = directory});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "18.997896\n20.096509\n");
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(ReadFile(directory + "/cpu.pb.gz"), testing::StartsWith("\x1f\x8b"));
}

// As `bazel run` starts it.
TEST(HelloTasks, WritesTheProfileWhereBazelWasCalled) {
  const std::string caller = NewDirectory();
  const std::string runfiles = NewDirectory() + "/hello_tasks.runfiles";
  ASSERT_EQ(mkdir(runfiles.c_str(), 0777), 0);
  const ProgramResult result =
      RunProgram({ProgramPath("HELLO_TASKS")},
                 {.environment = {"BUILD_WORKING_DIRECTORY=" + caller}, .directory = runfiles});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(ReadFile(caller + "/cpu.pb.gz"), testing::StartsWith("\x1f\x8b"));
}

}  // namespace
}  // namespace curg
