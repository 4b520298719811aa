// SPDX-License-Identifier: Apache-2.0
#include "export/output_file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
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

namespace fs = ::std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class OutputFileTest : public ::testing::TestWithParam<OutputFile::Until> {
 protected:
  OutputFileTest() : directory_(fs::path(::testing::TempDir()) / "output_file_test") {
    fs::remove_all(directory_);
    fs::create_directory(directory_);
  }
  ~OutputFileTest() override { fs::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  static absl::StatusOr<OutputFile> Open(const std::string& path) {
    return OutputFile::Open(path, GetParam());
  }

  static std::string Content(const std::string& path) {
    std::ostringstream content;
    content << std::ifstream(path).rdbuf();
    return content.str();
  }

  // All names in the directory, hidden ones included.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  const std::string directory_;
};

TEST_P(OutputFileTest, AppearsWhole) {
  absl::StatusOr<OutputFile> file = Open(Path("out"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(fs::exists(Path("out")));
  EXPECT_EQ(file->Commit("content"), absl::OkStatus());
  EXPECT_EQ(Content(Path("out")), "content");
  EXPECT_THAT(Names(), ElementsAre("out"));
}

TEST_P(OutputFileTest, ContentHasNoNameUntilCommit) {
  const absl::StatusOr<OutputFile> file = Open(Path("out"));
  ASSERT_TRUE(file.ok()) << file.status();
  const int probe = open(directory_.c_str(), O_TMPFILE | O_WRONLY, 0666);
  if (probe >= 0) close(probe);
  const bool nameless = GetParam() == OutputFile::Until::kNameless && probe >= 0;
  EXPECT_THAT(Names(), SizeIs(nameless ? 0 : 1));
}

TEST_P(OutputFileTest, LeavesNothingUnlessCommitted) {
  { ASSERT_TRUE(Open(Path("out")).ok()); }
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_P(OutputFileTest, KeepsWhatWasThereUntilCommit) {
  std::ofstream(Path("out")) << "before";
  {
    absl::StatusOr<OutputFile> file = Open(Path("out"));
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(Content(Path("out")), "before");
  }
  EXPECT_EQ(Content(Path("out")), "before");
  absl::StatusOr<OutputFile> file = Open(Path("out"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->Commit("after"), absl::OkStatus());
  EXPECT_EQ(Content(Path("out")), "after");
  EXPECT_THAT(Names(), ElementsAre("out"));
}

TEST_P(OutputFileTest, CommitsOnce) {
  absl::StatusOr<OutputFile> file = Open(Path("out"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->Commit("one"), absl::OkStatus());
  EXPECT_EQ(file->Commit("two").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Content(Path("out")), "one");
}

TEST_P(OutputFileTest, SaysAtOnceThatANameIsTooLong) {
  EXPECT_TRUE(Open(Path(std::string(NAME_MAX, 'x'))).ok());
  EXPECT_FALSE(Open(Path(std::string(NAME_MAX + 1, 'x'))).ok());
}

// A directory of that name, entered for as long as it lives.
class InDirectory {
 public:
  explicit InDirectory(const fs::path& path) : before_(fs::current_path()) {
    fs::create_directories(path);
    fs::current_path(path);
  }
  ~InDirectory() { fs::current_path(before_); }
  InDirectory(const InDirectory&) = delete;
  InDirectory& operator=(const InDirectory&) = delete;

 private:
  const fs::path before_;
};

TEST_P(OutputFileTest, ARelativePathIsThatOfOpen) {
  OutputFile file = [this] {
    const InDirectory here(Path("here"));
    return *Open("out");
  }();
  EXPECT_EQ(file.Commit("x"), absl::OkStatus());
  EXPECT_EQ(Content(Path("here/out")), "x");
}

TEST_P(OutputFileTest, UnderBazelRunARelativePathIsThatOfTheCaller) {
  ASSERT_EQ(setenv("BUILD_WORKING_DIRECTORY", directory_.c_str(), 1), 0);
  {
    const InDirectory runfiles(Path("program.runfiles/workspace"));
    EXPECT_EQ(Open("out")->Commit("x"), absl::OkStatus());
  }
  {
    const InDirectory elsewhere(Path("elsewhere"));  // the program went there itself
    EXPECT_EQ(Open("out")->Commit("y"), absl::OkStatus());
  }
  ASSERT_EQ(unsetenv("BUILD_WORKING_DIRECTORY"), 0);
  EXPECT_EQ(Content(Path("out")), "x");
  EXPECT_EQ(Content(Path("elsewhere/out")), "y");
}

TEST_P(OutputFileTest, TwoMayBeOpenForOnePath) {
  absl::StatusOr<OutputFile> a = Open(Path("out"));
  absl::StatusOr<OutputFile> b = Open(Path("out"));
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->Commit("a"), absl::OkStatus());
  EXPECT_EQ(b->Commit("b"), absl::OkStatus());
  EXPECT_EQ(Content(Path("out")), "b");
}

TEST_P(OutputFileTest, MovesLeaveOneOwner) {
  OutputFile file = *Open(Path("out"));
  OutputFile other = *Open(Path("other"));
  other = std::move(file);
  EXPECT_EQ(other.Commit("moved"), absl::OkStatus());
  EXPECT_THAT(Names(), ElementsAre("out"));
}

TEST_P(OutputFileTest, GivesThePermissionsOfAPlainFile) {
  const mode_t mask = umask(027);
  absl::StatusOr<OutputFile> file = Open(Path("out"));
  umask(mask);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->Commit("x"), absl::OkStatus());
  struct stat status;
  ASSERT_EQ(stat(Path("out").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0640u);
}

TEST_P(OutputFileTest, FollowsSymbolicLinks) {
  std::ofstream(Path("real")) << "before";
  ASSERT_EQ(symlink("real", Path("link").c_str()), 0);
  absl::StatusOr<OutputFile> file = Open(Path("link"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->Commit("after"), absl::OkStatus());
  EXPECT_EQ(Content(Path("real")), "after");
  EXPECT_TRUE(fs::is_symlink(Path("link")));
}

TEST_P(OutputFileTest, ErrorsSayWhichPathAndWhy) {
  const absl::Status missing = Open(Path("none/out")).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr(Path("none/out")));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("No such file or directory"));

  const absl::Status directory = Open(directory_).status();
  EXPECT_EQ(directory.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(directory.message()), HasSubstr("is a directory"));

  EXPECT_FALSE(Open("").ok());
}

TEST_P(OutputFileTest, RespectsReadOnlyFiles) {
  if (geteuid() == 0) GTEST_SKIP() << "permissions do not stop root";
  std::ofstream(Path("out")) << "keep";
  ASSERT_EQ(chmod(Path("out").c_str(), 0444), 0);
  EXPECT_EQ(Open(Path("out")).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_P(OutputFileTest, WritesToWhatIsNoRegularFile) {
  absl::StatusOr<OutputFile> file = Open("/dev/null");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->Commit("x"), absl::OkStatus());
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_P(OutputFileTest, AFullDiskIsAnError) {
  absl::StatusOr<OutputFile> file = Open("/dev/full");
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::Status status = file->Commit("x");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("No space left on device"));
}

INSTANTIATE_TEST_SUITE_P(Until, OutputFileTest,
                         ::testing::Values(OutputFile::Until::kNameless,
                                           OutputFile::Until::kHidden),
                         [](const auto& info) {
                           return info.param == OutputFile::Until::kHidden ? "Hidden" : "Nameless";
                         });

}  // namespace
}  // namespace curg::internal
