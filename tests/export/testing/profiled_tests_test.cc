// SPDX-License-Identifier: Apache-2.0
//
// Runs a GoogleTest program as Bazel does, shard by shard, and looks at the profiles it leaves.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "export/gzip.h"
#include "export/profile.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/context.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

using ::perftools::profiles::Profile;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using LabelMap = std::map<std::string, std::string>;

std::optional<Profile> ReadProfile(const std::string& path) {
  const absl::StatusOr<std::string> message = internal::Gunzip(ReadFile(path), 64 << 20);
  Profile profile;
  if (!message.ok() || !profile.ParseFromString(*message)) return std::nullopt;
  return profile;
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The different label sets of the samples in which `function` is on the stack.
std::set<LabelMap> LabelsUnder(const Profile& profile, const std::string& function) {
  std::map<uint64_t, std::string> functions;
  for (const auto& f : profile.function()) functions[f.id()] = profile.string_table(f.name());
  std::map<uint64_t, std::set<std::string>> locations;
  for (const auto& location : profile.location()) {
    for (const auto& line : location.line()) {
      locations[location.id()].insert(functions[line.function_id()]);
    }
  }
  std::set<LabelMap> found;
  for (const auto& sample : profile.sample()) {
    if (std::none_of(sample.location_id().begin(), sample.location_id().end(),
                     [&](uint64_t id) { return locations[id].contains(function); })) {
      continue;
    }
    LabelMap labels;
    for (const auto& label : sample.label()) {
      labels[profile.string_table(label.key())] = profile.string_table(label.str());
    }
    found.insert(labels);
  }
  return found;
}

class ProfiledTests : public testing::Test {
 protected:
  ProgramResult Run(const std::vector<std::string>& arguments,
                    const std::vector<std::string>& environment = {}) {
    std::vector<std::string> argv = arguments;
    ProgramOptions options;
    options.environment = {"TEST_UNDECLARED_OUTPUTS_DIR=" + outputs_, "TEST_TARGET=//some:test",
                           // Bazel's of this test here.
                           "GTEST_TOTAL_SHARDS=1", "GTEST_SHARD_INDEX=0",
                           "XML_OUTPUT_FILE=", "TEST_PREMATURE_EXIT_FILE=", "TEST_TOTAL_SHARDS=0"};
    options.environment.insert(options.environment.end(), environment.begin(), environment.end());
    return RunProgram(argv, options);
  }

  void EmptyOutputs() {
    std::filesystem::remove_all(outputs_);
    std::filesystem::create_directory(outputs_);
  }

  const std::string program_ = ProgramPath("PROFILED_TESTS");
  const std::string outputs_ = NewDirectory();
};

TEST_F(ProfiledTests, LabelsEverySampleWithItsCase) {
  std::optional<Profile> profile;
  for (int i = 0; i < 3; ++i) {
    EmptyOutputs();
    const ProgramResult result = Run({program_});
    ASSERT_EQ(result.status, 0) << result.out << result.err;
    ASSERT_THAT(FilesIn(outputs_), ElementsAre("cpu.pb.gz", "tasks.pb.gz"));
    EXPECT_TRUE(ReadProfile(outputs_ + "/tasks.pb.gz").has_value());
    profile = ReadProfile(outputs_ + "/cpu.pb.gz");
    ASSERT_TRUE(profile.has_value());
    // On a busy machine it may have ended before it was found.
    if (!LabelsUnder(*profile, "curg::BurnInThread").empty()) break;
  }

  const auto of = [](const char* suite, const char* name) {
    return LabelMap{{"test_target", "//some:test"}, {"test_suite", suite}, {"test_case", name}};
  };
  EXPECT_THAT(LabelsUnder(*profile, "curg::BurnOnMain"), ElementsAre(of("Plain", "MainThread")));
  EXPECT_THAT(LabelsUnder(*profile, "curg::BurnInThread"), ElementsAre(of("Plain", "OtherThread")));
  LabelMap task = of("Tasks", "WithLabelsOfTheirOwn");
  task["phase"] = "mine";
  EXPECT_THAT(LabelsUnder(*profile, "curg::BurnInTask"), ElementsAre(task));
  EXPECT_THAT(LabelsUnder(*profile, "curg::BurnWithParameter"),
              ElementsAre(of("All/Numbered", "Case/0")));
  EXPECT_THAT(LabelsUnder(*profile, "curg::BurnInSetUp"),
              ElementsAre(LabelMap{{"test_target", "//some:test"}, {"test_suite", "Plain"}}));

  // Of the program itself, for tools that look for symbols by it.
  ASSERT_GT(profile->mapping_size(), 0);
  EXPECT_NE(profile->string_table(profile->mapping(0).build_id()), "");
}

TEST_F(ProfiledTests, NamesTheShardAndTheRun) {
  ASSERT_EQ(Run({program_, "--gtest_filter=Numbered*"},
                {"TEST_TOTAL_SHARDS=3", "TEST_SHARD_INDEX=1", "TEST_RUN_NUMBER=4"})
                .status,
            0);
  EXPECT_THAT(FilesIn(outputs_),
              ElementsAre("cpu.shard_2_of_3.run_4.pb.gz", "tasks.shard_2_of_3.run_4.pb.gz"));
}

TEST_F(ProfiledTests, KeepsEarlierAttempts) {
  for (int attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_EQ(Run({program_, "--gtest_filter=PlainDeathTest*"}).status, 0);
  }
  EXPECT_THAT(FilesIn(outputs_), Contains("cpu.pb.gz"));
  EXPECT_THAT(FilesIn(outputs_), Contains("cpu.attempt_2.pb.gz"));
  EXPECT_THAT(FilesIn(outputs_), Contains("cpu.attempt_3.pb.gz"));
}

TEST_F(ProfiledTests, LeavesProfilesWhenItTakesTooLong) {
  ProgramResult result;
  for (const char* limit : {"1.5", "5", "15", "45"}) {  // a busy machine may need longer
    EmptyOutputs();
    result = Run({"/usr/bin/timeout", "--preserve-status", limit, program_,
                  "--gtest_also_run_disabled_tests", "--gtest_filter=*Hangs*:*MainThread"});
    const size_t hangs = result.err.find("the one that hangs");
    if (hangs != std::string::npos && result.err.find("SleepFor", hangs) != std::string::npos)
      break;
  }
  EXPECT_EQ(result.status, 128 + 15) << result.out << result.err;
  const std::optional<Profile> profile = ReadProfile(outputs_ + "/cpu.pb.gz");
  ASSERT_TRUE(profile.has_value());
  EXPECT_THAT(LabelsUnder(*profile, "curg::BurnOnMain"), SizeIs(1));
  EXPECT_TRUE(ReadProfile(outputs_ + "/tasks.pb.gz").has_value());
  // Who hangs, and where, as text: in the log and beside the profiles.
  for (const std::string& dump : {result.err, ReadFile(outputs_ + "/tasks.txt")}) {
    EXPECT_THAT(dump, HasSubstr("the one that hangs"));
    EXPECT_THAT(dump, HasSubstr("SleepFor"));
  }
}

TEST_F(ProfiledTests, LeavesItsCpuProfileWhenItCrashes) {
  const ProgramResult result =
      Run({program_, "--gtest_also_run_disabled_tests", "--gtest_filter=DISABLED_Crashes.ByAbort"});
  EXPECT_EQ(result.status, 128 + SIGABRT) << result.out << result.err;
  EXPECT_THAT(FilesIn(outputs_), ElementsAre("cpu.pb.gz"));
  const std::optional<Profile> profile = ReadProfile(outputs_ + "/cpu.pb.gz");
  ASSERT_TRUE(profile.has_value());
  EXPECT_THAT(LabelsUnder(*profile, "curg::BurnOnMain"),
              ElementsAre(LabelMap{{"test_target", "//some:test"},
                                   {"test_suite", "DISABLED_Crashes"},
                                   {"test_case", "ByAbort"}}));
}

#if !defined(CURG_ASAN) && !defined(CURG_TSAN)  // which handle faults themselves
TEST_F(ProfiledTests, LeavesItsCpuProfileAndTheReportWhenATaskCrashes) {
  const ProgramResult result =
      Run({program_, "--gtest_also_run_disabled_tests", "--gtest_filter=DISABLED_Crashes.InATask"});
  EXPECT_EQ(result.status, 128 + SIGSEGV) << result.out << result.err;
  const std::optional<Profile> profile = ReadProfile(outputs_ + "/cpu.pb.gz");
  ASSERT_TRUE(profile.has_value());
  EXPECT_THAT(LabelsUnder(*profile, "curg::BurnInTask"), SizeIs(1));
  // the runtime's
  EXPECT_THAT(result.err, HasSubstr("segmentation fault at address 0x0 in task 2"));
}
#endif

TEST_F(ProfiledTests, IsNoTestOutsideBazel) {
  ASSERT_EQ(Run({program_, "--gtest_filter=Numbered*"}, {"TEST_UNDECLARED_OUTPUTS_DIR="}).status,
            0);
  EXPECT_THAT(FilesIn(outputs_), IsEmpty());
}

TEST_F(ProfiledTests, SaysWhyThereIsNoProfile) {
  const ProgramResult result =
      Run({program_, "--gtest_filter=Numbered*"}, {"TEST_UNDECLARED_OUTPUTS_DIR=/not/there"});
  EXPECT_EQ(result.status, 0);  // a test's result is not the profile's business
  EXPECT_THAT(result.err, HasSubstr("this test is not profiled"));
  EXPECT_THAT(result.err, HasSubstr("/not/there"));
}

// The flag, which Google Benchmark does not know, and would refuse.
class ProfiledBenchmark : public ProfiledTests {
 protected:
  const std::string benchmark_ = ProgramPath("PROFILED_BENCHMARK");
  const std::string path_ = outputs_ + "/bench.pb.gz";
};

TEST_F(ProfiledBenchmark, WritesWhereTheFlagSays) {
  const ProgramResult result = Run({benchmark_, "--benchmark_filter=Burn", "--cpu_profile=" + path_,
                                    "--benchmark_min_time=0.2"});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("BM_Burn"));
  EXPECT_THAT(FilesIn(outputs_), ElementsAre("bench.pb.gz"));
  const std::optional<Profile> profile = ReadProfile(path_);
  ASSERT_TRUE(profile.has_value());
  EXPECT_THAT(LabelsUnder(*profile, "curg::BurnInBenchmark"), SizeIs(1));
}

TEST_F(ProfiledBenchmark, CostsNothingWithoutTheFlag) {
  ASSERT_EQ(Run({benchmark_, "--benchmark_min_time=0.01"}, {"TEST_UNDECLARED_OUTPUTS_DIR="}).status,
            0);
  EXPECT_THAT(FilesIn(outputs_), IsEmpty());
}

TEST_F(ProfiledBenchmark, NamesWhatIsWrongWithTheFlag) {
  ProgramResult result = Run({benchmark_, "--cpu_profile"});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("--cpu_profile=cpu.pb.gz"));
  result = Run({benchmark_, "--cpu_profile=/not/there/cpu.pb.gz"});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("/not/there"));
  EXPECT_THAT(result.out, IsEmpty());  // before anything ran
}

}  // namespace
}  // namespace curg
