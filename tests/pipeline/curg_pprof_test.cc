// SPDX-License-Identifier: Apache-2.0
//
// The command line on real files, and whether Go agrees with what it writes.

#include <regex>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class CurgPprofTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (std::string* path : {&first_, &second_}) {
      *path = NewDirectory() + "/cpu.pb.gz";
      ASSERT_EQ(RunProgram({ProgramPath("CPU_PROFILE"), *path, "150000"}).status, 0);
    }
  }

  static ProgramResult Curg(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), ProgramPath("CURG"));
    return RunProgram(arguments);
  }
  static std::string Out(std::vector<std::string> arguments) {
    const ProgramResult result = Curg(std::move(arguments));
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
  }
  // Samples of a file, as Go's package reads them.
  static int64_t GoTotal(const std::string& path) {
    const ProgramResult result =
        RunProgram({"/bin/sh", "-c", "\"$0\" < \"$1\"", ProgramPath("PROFILE_DUMP"), path});
    EXPECT_EQ(result.status, 0) << result.err;
    int64_t total = 0;
    const std::regex value("\nsample \\[([-0-9]+) ");
    for (std::sregex_iterator it(result.out.begin(), result.out.end(), value), end; it != end;
         ++it) {
      total += std::stoll((*it)[1]);
    }
    return total;
  }

  static inline std::string first_;
  static inline std::string second_;
};

TEST_F(CurgPprofTest, PrintsTopTagsTreeFoldedAndComments) {
  EXPECT_THAT(Out({"top", first_}), AllOf(StartsWith("Top functions (cpu: "),
                                          ContainsRegex("function\n[^\n]* SumOfDivisors\n")));
  EXPECT_THAT(Out({"tags", first_}), AllOf(HasSubstr("  tenant\n"), HasSubstr("  acme\n")));
  EXPECT_THAT(Out({"tree", first_}), AllOf(HasSubstr("CountPerfectNumbers\n"), HasSubstr("└ ")));
  EXPECT_THAT(Out({"folded", "--type=samples", first_}),
              ContainsRegex("CountPerfectNumbers;SumOfDivisors [0-9]+\n"));
  EXPECT_THAT(Out({"comments", first_}), HasSubstr("curg: engine: "));
  EXPECT_THAT(Out({"top", "--label=tenant=nobody", first_}), HasSubstr("cpu: 0"));
}

TEST_F(CurgPprofTest, MergesAndDiffsAsGoReadsThem) {
  const std::string sum = NewDirectory() + "/sum.pb.gz";
  Out({"merge", "--output=" + sum, first_, second_});
  EXPECT_EQ(GoTotal(sum), GoTotal(first_) + GoTotal(second_));
  const std::string diff = NewDirectory() + "/diff.pb.gz";
  Out({"diff", "--output=" + diff, first_, second_});
  EXPECT_EQ(GoTotal(diff), GoTotal(second_) - GoTotal(first_));
  EXPECT_THAT(Out({"diff", first_, first_}), HasSubstr("cpu: 0"));
}

TEST_F(CurgPprofTest, SaysWhatIsWrong) {
  const auto says = [](const ProgramResult& result, const std::string& what) {
    EXPECT_EQ(result.status, 1);
    EXPECT_THAT(result.err, AllOf(StartsWith("curg_pprof: "), HasSubstr(what)));
  };
  says(Curg({}), "--help");
  says(Curg({"fly", first_}), "there is no command fly");
  says(Curg({"top"}), "which file?");
  says(Curg({"top", "/nowhere"}), "/nowhere");
  says(Curg({"top", ProgramPath("CURG")}), "is no pprof file");
  says(Curg({"top", "--type=heap", first_}), "there are samples, cpu");
  says(Curg({"merge", first_}), "--output");
  says(Curg({"diff", first_}), "two files");
  EXPECT_THAT(Curg({"--help"}).out, HasSubstr("curg_pprof tree FILE"));
}

}  // namespace
}  // namespace curg
