// SPDX-License-Identifier: Apache-2.0
#include "export/output_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace curg::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OutputFileTest : public ::testing::Test {
 protected:
  OutputFileTest() : directory_(::testing::TempDir() + "/output_file_test") {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
  }
  ~OutputFileTest() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  static std::string Content(const std::string& path) {
    std::ostringstream content;
    content << std::ifstream(path).rdbuf();
    return content.str();
  }

  // All names in the directory, hidden ones included.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  const std::string directory_;
};

TEST_F(OutputFileTest, AppearsWhole) {
  absl::StatusOr<OutputFile> file = OutputFile::Open(Path("out"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(std::filesystem::exists(Path("out")));
  EXPECT_EQ(file->Commit("content"), absl::OkStatus());
  EXPECT_EQ(Content(Path("out")), "content");
  EXPECT_THAT(Names(), ElementsAre("out"));
}

TEST_F(OutputFileTest, LeavesNothingUnlessCommitted) {
  { ASSERT_TRUE(OutputFile::Open(Path("out")).ok()); }
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(OutputFileTest, KeepsWhatWasThereUntilCommit) {
  std::ofstream(Path("out")) << "before";
  {
    absl::StatusOr<OutputFile> file = OutputFile::Open(Path("out"));
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(Content(Path("out")), "before");
  }
  EXPECT_EQ(Content(Path("out")), "before");
  absl::StatusOr<OutputFile> file = OutputFile::Open(Path("out"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->Commit("after"), absl::OkStatus());
  EXPECT_EQ(Content(Path("out")), "after");
  EXPECT_THAT(Names(), ElementsAre("out"));
}

TEST_F(OutputFileTest, CommitsOnce) {
  absl::StatusOr<OutputFile> file = OutputFile::Open(Path("out"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->Commit("one"), absl::OkStatus());
  EXPECT_EQ(file->Commit("two").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Content(Path("out")), "one");
}

TEST_F(OutputFileTest, TwoMayBeOpenForOnePath) {
  absl::StatusOr<OutputFile> a = OutputFile::Open(Path("out"));
  absl::StatusOr<OutputFile> b = OutputFile::Open(Path("out"));
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->Commit("a"), absl::OkStatus());
  EXPECT_EQ(b->Commit("b"), absl::OkStatus());
  EXPECT_EQ(Content(Path("out")), "b");
}

TEST_F(OutputFileTest, MovesLeaveOneOwner) {
  OutputFile file = *OutputFile::Open(Path("out"));
  OutputFile other = *OutputFile::Open(Path("other"));
  other = std::move(file);
  EXPECT_EQ(other.Commit("moved"), absl::OkStatus());
  EXPECT_THAT(Names(), ElementsAre("out"));
}

TEST_F(OutputFileTest, GivesThePermissionsOfAPlainFile) {
  const mode_t mask = umask(027);
  absl::StatusOr<OutputFile> file = OutputFile::Open(Path("out"));
  umask(mask);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->Commit("x"), absl::OkStatus());
  struct stat status;
  ASSERT_EQ(stat(Path("out").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0640u);
}

TEST_F(OutputFileTest, FollowsSymbolicLinks) {
  std::ofstream(Path("real")) << "before";
  ASSERT_EQ(symlink("real", Path("link").c_str()), 0);
  absl::StatusOr<OutputFile> file = OutputFile::Open(Path("link"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->Commit("after"), absl::OkStatus());
  EXPECT_EQ(Content(Path("real")), "after");
  EXPECT_TRUE(std::filesystem::is_symlink(Path("link")));
}

TEST_F(OutputFileTest, ErrorsSayWhichPathAndWhy) {
  const absl::Status missing = OutputFile::Open(Path("none/out")).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr(Path("none/out")));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("No such file or directory"));

  const absl::Status directory = OutputFile::Open(directory_).status();
  EXPECT_EQ(directory.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(directory.message()), HasSubstr("is a directory"));

  EXPECT_FALSE(OutputFile::Open("").ok());
}

TEST_F(OutputFileTest, RespectsReadOnlyFiles) {
  if (geteuid() == 0) GTEST_SKIP() << "permissions do not stop root";
  std::ofstream(Path("out")) << "keep";
  ASSERT_EQ(chmod(Path("out").c_str(), 0444), 0);
  EXPECT_EQ(OutputFile::Open(Path("out")).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(OutputFileTest, WritesToWhatIsNoRegularFile) {
  absl::StatusOr<OutputFile> file = OutputFile::Open("/dev/null");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->Commit("x"), absl::OkStatus());
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST_F(OutputFileTest, AFullDiskIsAnError) {
  absl::StatusOr<OutputFile> file = OutputFile::Open("/dev/full");
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::Status status = file->Commit("x");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("No space left on device"));
}

}  // namespace
}  // namespace curg::internal
