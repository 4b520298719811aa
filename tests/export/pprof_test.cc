// SPDX-License-Identifier: Apache-2.0
//
// Files: what is written can be read back, errors are returned, and the scoped form cleans up.
// Whole paths, with labels and `go tool pprof`, are tested in tests/pipeline.
#include "export/pprof.h"

#include <time.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "export/gzip.h"
#include "export/profile.pb.h"
#include "export/symbolize.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "labels/label_set.h"
#include "profiler/mappings.h"

namespace curg {
namespace {

namespace fs = ::std::filesystem;

using ::perftools::profiles::Profile;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr size_t kSizeMax = size_t{1} << 30;

std::optional<Profile> Decode(const std::string& file) {
  const absl::StatusOr<std::string> message = internal::Gunzip(file, kSizeMax);
  Profile profile;
  if (!message.ok() || !profile.ParseFromString(*message)) return std::nullopt;
  return profile;
}

std::string Content(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

// Uses this much of this thread's CPU time.
void BurnCpu(absl::Duration duration) {
  const auto used = [] {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return absl::DurationFromTimespec(now);
  };
  const absl::Duration end = used() + duration;
  volatile unsigned sum = 0;
  while (used() < end) {
    for (int i = 0; i < 10'000; ++i) sum = sum + static_cast<unsigned>(i);
  }
}

// A profile with one stack in this program.
CpuProfile ThisProgram() {
  CpuProfile profile;
  profile.period_ns = 10'000'000;
  profile.start = absl::Now();
  profile.duration = absl::Seconds(1);
  profile.mappings = internal::CurrentMappings();
  CpuProfileEntry entry;
  entry.pcs = {reinterpret_cast<uintptr_t>(&BurnCpu) + 1,
               reinterpret_cast<uintptr_t>(&Content) + 4};
  entry.tag = Labels::Of({{"phase", "read"}});
  entry.samples = 3;
  entry.weight = 40'000'000;
  profile.entries = {entry};
  return profile;
}

class PprofTest : public ::testing::Test {
 protected:
  PprofTest() : directory_(::testing::TempDir() + "/pprof_test") {
    fs::remove_all(directory_);
    fs::create_directory(directory_);
  }
  ~PprofTest() override { fs::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  const std::string directory_;
};

TEST_F(PprofTest, RoundTrip) {
  const absl::StatusOr<std::string> file = EncodePprof(ThisProgram());
  ASSERT_TRUE(file.ok()) << file.status();
  const std::optional<Profile> profile = Decode(*file);
  ASSERT_TRUE(profile.has_value());
  ASSERT_EQ(profile->sample_size(), 1);
  EXPECT_EQ(profile->sample(0).value(0), 3);
  EXPECT_EQ(profile->sample(0).value(1), 40'000'000);
  EXPECT_EQ(profile->sample(0).label_size(), 1);

  // Real symbols, and this program's mapping first.
  const auto text = [&](int64_t index) { return profile->string_table(static_cast<int>(index)); };
  EXPECT_EQ(text(profile->mapping(0).filename()), fs::read_symlink("/proc/self/exe").string());
  ASSERT_GE(profile->location(0).line_size(), 1);
  const auto& line = *profile->location(0).line().rbegin();
  const auto& function = profile->function(static_cast<int>(line.function_id()) - 1);
  EXPECT_EQ(text(function.name()), "curg::(anonymous namespace)::BurnCpu");
  EXPECT_EQ(text(function.filename()), "tests/export/pprof_test.cc");
  EXPECT_GT(line.line(), 0);
}

TEST_F(PprofTest, AnEmptyProfileIsAValidFile) {
  const absl::StatusOr<std::string> file = EncodePprof(CpuProfile());
  ASSERT_TRUE(file.ok()) << file.status();
  const std::optional<Profile> profile = Decode(*file);
  ASSERT_TRUE(profile.has_value());
  EXPECT_EQ(profile->sample_type_size(), 2);
}

TEST_F(PprofTest, WritePprof) {
  const CpuProfile profile = ThisProgram();
  Symbolizer symbolizer(profile.mappings);
  EXPECT_EQ(WritePprof(profile, Path("a.pb.gz")), absl::OkStatus());
  EXPECT_EQ(WritePprof(profile, Path("b.pb.gz"), symbolizer), absl::OkStatus());
  EXPECT_THAT(Names(), UnorderedElementsAre("a.pb.gz", "b.pb.gz"));
  EXPECT_TRUE(Decode(Content(Path("a.pb.gz"))).has_value());
  EXPECT_EQ(Content(Path("a.pb.gz")), Content(Path("b.pb.gz")));
}

// Opened before the work, so that a bad path is known then.
TEST_F(PprofTest, FileForAProfileToCome) {
  const CpuProfile profile = ThisProgram();
  std::ofstream(Path("a.pb.gz")) << "before";
  absl::StatusOr<PprofFile> file = PprofFile::Open(Path("a.pb.gz"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(Content(Path("a.pb.gz")), "before");
  EXPECT_EQ(file->Write(profile), absl::OkStatus());
  const std::optional<Profile> read = Decode(Content(Path("a.pb.gz")));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->sample(0).value(1), 40'000'000);

  EXPECT_EQ(file->Write(profile).code(), absl::StatusCode::kFailedPrecondition) << "once";
  Symbolizer symbolizer(profile.mappings);
  EXPECT_EQ(PprofFile::Open(Path("b.pb.gz"))->Write(profile, symbolizer), absl::OkStatus());
  EXPECT_EQ(Content(Path("a.pb.gz")), Content(Path("b.pb.gz")));
}

TEST_F(PprofTest, FileThatIsNotWrittenLeavesWhatWasThere) {
  std::ofstream(Path("a.pb.gz")) << "before";
  { ASSERT_TRUE(PprofFile::Open(Path("a.pb.gz")).ok()); }
  { ASSERT_TRUE(PprofFile::Open(Path("b.pb.gz")).ok()); }
  EXPECT_EQ(Content(Path("a.pb.gz")), "before");
  EXPECT_THAT(Names(), UnorderedElementsAre("a.pb.gz"));
  const absl::Status missing = PprofFile::Open(Path("none/cpu.pb.gz")).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound) << missing;
}

// Go's TestWriteToErr.
TEST_F(PprofTest, WriteErrorsAreReturned) {
  const absl::Status full = WritePprof(ThisProgram(), "/dev/full");
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_THAT(std::string(full.message()), HasSubstr("/dev/full"));

  const absl::Status missing = WritePprof(ThisProgram(), Path("none/cpu.pb.gz"));
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound) << missing;
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(PprofTest, ToFile) {
  absl::StatusOr<CpuProfileToFile> profile =
      CpuProfileToFile::Start(Path("cpu.pb.gz"), {.rate_hz = 500});
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_FALSE(fs::exists(Path("cpu.pb.gz")));
  BurnCpu(absl::Milliseconds(200));
  EXPECT_EQ(profile->Stop(), absl::OkStatus());
  const std::optional<Profile> read = Decode(Content(Path("cpu.pb.gz")));
  ASSERT_TRUE(read.has_value());
  EXPECT_GT(read->sample_size(), 0);
  EXPECT_EQ(read->period(), 2'000'000);

  EXPECT_EQ(profile->Stop().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Names(), UnorderedElementsAre("cpu.pb.gz"));
}

TEST_F(PprofTest, ToFileWritesAtItsEndAndOnce) {
  {
    CpuProfileToFile profile = *CpuProfileToFile::Start(Path("a.pb.gz"));
    const CpuProfileToFile moved = std::move(profile);
    EXPECT_FALSE(fs::exists(Path("a.pb.gz")));
  }
  EXPECT_TRUE(Decode(Content(Path("a.pb.gz"))).has_value());
  EXPECT_THAT(Names(), UnorderedElementsAre("a.pb.gz"));
}

TEST_F(PprofTest, ToFileReportsAnErrorAtItsEnd) {
  ::testing::internal::CaptureStderr();
  { const CpuProfileToFile profile = *CpuProfileToFile::Start("/dev/full"); }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("curg: no CPU profile"));
}

TEST_F(PprofTest, ABadPathStopsNothingThatRuns) {
  EXPECT_EQ(CpuProfileToFile::Start(Path("none/cpu.pb.gz")).status().code(),
            absl::StatusCode::kNotFound);
  // No profile was started, so one can be.
  EXPECT_TRUE(CpuProfileToFile::Start(Path("cpu.pb.gz")).ok());
}

TEST_F(PprofTest, SeveralAtOnceWriteAFileEach) {
  CpuProfileToFile first = *CpuProfileToFile::Start(Path("first.pb.gz"));
  CpuProfileToFile second = *CpuProfileToFile::Start(Path("second.pb.gz"));
  EXPECT_EQ(first.Stop(), absl::OkStatus());
  EXPECT_THAT(Names(), UnorderedElementsAre("first.pb.gz"));
  EXPECT_EQ(second.Stop(), absl::OkStatus());
  EXPECT_THAT(Names(), UnorderedElementsAre("first.pb.gz", "second.pb.gz"));
}

// What the kernel refuses leaves no file behind.
TEST_F(PprofTest, AFailedStartLeavesNoFile) {
  EXPECT_EQ(CpuProfileToFile::Start(Path("cpu.pb.gz"), {.rate_hz = 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Names().empty());
}

}  // namespace
}  // namespace curg
