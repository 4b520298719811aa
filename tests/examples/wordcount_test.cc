// SPDX-License-Identifier: Apache-2.0
//
// Runs the program wordcount on small trees.

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Wordcount : public ::testing::Test {
 protected:
  ProgramResult Run(std::vector<std::string> arguments, const ProgramOptions& options = {}) {
    arguments.insert(arguments.begin(), {program_, "--cpu_profile=" + profile_});
    return RunProgram(arguments, options);
  }
  // What is printed before the profile's tables.
  std::string Words(std::vector<std::string> arguments, const ProgramOptions& options = {}) {
    const ProgramResult result = Run(std::move(arguments), options);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result.out.substr(0, result.out.find("\nCPU by phase ("));
  }

  const std::string program_ = ProgramPath("WORDCOUNT");
  const std::string tree_ = NewDirectory();
  const std::string profile_ = NewDirectory() + "/cpu.pb.gz";
};

TEST_F(Wordcount, CountsWords) {
  mkdir((tree_ + "/sub").c_str(), 0755);
  WriteFile(tree_ + "/a.txt", "Alpha beta alpha.\n");
  WriteFile(tree_ + "/b.h", "int alpha_2 = 2;\r\nint beta;\r\n");
  WriteFile(tree_ + "/sub/c", "na\u00efve \u2014 alpha, \u0421\u043b\u043e\u0432\u043e");
  EXPECT_EQ(Words({tree_}),
            "         3  alpha\n"
            "         2  beta\n"
            "         2  int\n"
            "         1  2\n"
            "         1  alpha_2\n"
            "         1  na\u00efve\n"
            "         1  \u0421\u043b\u043e\u0432\u043e\n"
            "\n"
            "11 words, 7 different ones, in 3 files (0.0 MB read)\n");
  EXPECT_THAT(Words({"--top=1", tree_}), StartsWith("         3  alpha\n\n11 words, 7 "));
  EXPECT_THAT(Words({"--top=0", tree_}), StartsWith("11 words, 7 "));
}

TEST_F(Wordcount, CountsTheSameHoweverItRuns) {
  for (int i = 0; i < 300; ++i) {
    WriteFile(tree_ + "/" + std::to_string(i) + ".txt", "some words to count\n");
  }
  const std::string once = Words({tree_});
  EXPECT_THAT(once, HasSubstr("       300  count\n"));
  EXPECT_THAT(once, HasSubstr("1200 words, 4 different ones, in 300 files"));
  EXPECT_EQ(Words({"--repeat=3", tree_}), once);
  EXPECT_EQ(Words({"--in_flight=1", tree_}), once);
  EXPECT_EQ(Words({"--workers=1", tree_}), once);
  EXPECT_EQ(Words({"--workers=9", tree_}), once);  // three tasks merge
}

TEST_F(Wordcount, FollowsLinksButCountsOnce) {
  mkdir((tree_ + "/sub").c_str(), 0755);
  WriteFile(tree_ + "/sub/a", "one");
  ASSERT_EQ(symlink("..", (tree_ + "/sub/up").c_str()), 0);    // a cycle
  ASSERT_EQ(symlink("sub/a", (tree_ + "/again").c_str()), 0);  // a second name
  ASSERT_EQ(link((tree_ + "/sub/a").c_str(), (tree_ + "/hard").c_str()), 0);
  ASSERT_EQ(symlink("nowhere", (tree_ + "/broken").c_str()), 0);
  ASSERT_EQ(symlink("itself", (tree_ + "/itself").c_str()), 0);
  const std::string words = Words({tree_});
  EXPECT_THAT(words, HasSubstr("\n1 words, 1 different ones, in 1 files"));
  EXPECT_THAT(words, HasSubstr("2 broken links, 3 further names of what was visited\n"));
  // Of several roots, too.
  EXPECT_THAT(Words({tree_ + "/sub/a", tree_ + "/again", tree_ + "/sub/a"}),
              HasSubstr("in 1 files (0.0 MB read)\nnot counted: 2 further names"));
}

TEST_F(Wordcount, BinaryFilesDoNotCount) {
  WriteFile(tree_ + "/a.bin", std::string("word\0word", 9));
  WriteFile(tree_ + "/late.bin", std::string(200'000, 'x') + ' ' + std::string(1, '\0'));
  WriteFile(tree_ + "/text", "word");
  EXPECT_EQ(Words({tree_}),
            "         1  word\n\n1 words, 1 different ones, in 1 files (0.2 MB read)\n"
            "not counted: 2 binary files\n");
}

TEST_F(Wordcount, UnreadableFilesAndDirectoriesAreCountedAsSuch) {
  WriteFile(tree_ + "/a", "word");
  WriteFile(tree_ + "/b", "word");
  mkdir((tree_ + "/closed").c_str(), 0);
  ASSERT_EQ(chmod((tree_ + "/b").c_str(), 0), 0);
  const std::string words = Words({tree_}, {.obeys_permissions = true});
  EXPECT_EQ(words,
            "         1  word\n\n1 words, 1 different ones, in 1 files (0.0 MB read)\n"
            "not counted: 1 unreadable files, 1 unreadable directories\n");
}

TEST_F(Wordcount, SpecialFilesAreNotOpened) {
  ASSERT_EQ(mkfifo((tree_ + "/pipe").c_str(), 0644), 0);  // opening it would wait for a writer
  ASSERT_EQ(symlink("/dev/zero", (tree_ + "/zero").c_str()), 0);
  EXPECT_EQ(Words({tree_}),
            "0 words, 0 different ones, in 0 files (0.0 MB read)\n"
            "not counted: 2 special files\n");
}

TEST_F(Wordcount, EmptyAndMissingDirectories) {
  EXPECT_EQ(Words({tree_}), "0 words, 0 different ones, in 0 files (0.0 MB read)\n");
  EXPECT_EQ(Words({tree_, tree_ + "/missing"}),
            "0 words, 0 different ones, in 0 files (0.0 MB read)\n"
            "not counted: 1 paths that do not exist\n");
  WriteFile(tree_ + "/empty", "");
  EXPECT_EQ(Words({tree_}), "0 words, 0 different ones, in 1 files (0.0 MB read)\n");
}

TEST_F(Wordcount, HugeLines) {
  std::string line;
  for (int i = 0; i < 100'000; ++i) line += "some words ";
  WriteFile(tree_ + "/line", line);
  EXPECT_EQ(Words({tree_}),
            "    100000  some\n    100000  words\n\n"
            "200000 words, 2 different ones, in 1 files (1.1 MB read)\n");
}

// One that does not fit into the buffer counts in pieces, and is shown by its start.
TEST_F(Wordcount, HugeWords) {
  WriteFile(tree_ + "/word", std::string((size_t{128} << 10) + 5, 'x'));
  EXPECT_EQ(Words({tree_}), "         2  " + std::string(60, 'x') +
                                "...\n         1  xxxxx\n\n"
                                "3 words, 2 different ones, in 1 files (0.1 MB read)\n");
}

TEST_F(Wordcount, PrintsItsOwnProfileAndHowToOpenIt) {
  WriteFile(tree_ + "/a.txt", "word");
  const ProgramResult result = Run({tree_});
  EXPECT_THAT(result.out, HasSubstr("\nCPU by phase ("));
  EXPECT_THAT(result.out, HasSubstr("\nCPU by phase, ext ("));
  EXPECT_THAT(result.out, HasSubstr("\nTop functions ("));
  EXPECT_THAT(result.out, HasSubstr("below 200, shares are rough\n"));
  EXPECT_THAT(result.out, EndsWith("\nCPU profile: " + profile_ +
                                   "\nOpen it:     go tool pprof -http=: " + profile_ + "\n"));
  EXPECT_THAT(ReadFile(profile_), StartsWith("\x1f\x8b"));
}

TEST_F(Wordcount, WritesNoProfileWhenToldSo) {
  const ProgramResult result = Run({"--cpu_profile=", tree_});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, Not(HasSubstr("go tool pprof")));
  EXPECT_NE(access(profile_.c_str(), F_OK), 0);
}

TEST_F(Wordcount, PathsAreThoseOfTheCallerOfBazelRun) {
  WriteFile(tree_ + "/a.txt", "word");
  const std::string elsewhere = NewDirectory();
  const ProgramResult result =
      RunProgram({program_, "."},
                 {.environment = {"BUILD_WORKING_DIRECTORY=" + tree_}, .directory = elsewhere});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("         1  word\n\n1 words, "));
  EXPECT_THAT(result.out, EndsWith("go tool pprof -http=: cpu.pb.gz\n"));
  EXPECT_THAT(ReadFile(tree_ + "/cpu.pb.gz"), StartsWith("\x1f\x8b"));
}

TEST_F(Wordcount, AnUnwritableProfileIsAnErrorBeforeAnythingElse) {
  const std::string path = tree_ + "/missing/cpu.pb.gz";
  const ProgramResult result = Run({"--cpu_profile=" + path, "--min_cpu=1h", "/usr/include"});
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, StartsWith("wordcount: cannot write the CPU profile: "));
  EXPECT_THAT(result.err, HasSubstr(path));
  EXPECT_THAT(result.err, HasSubstr("No such file or directory"));
  EXPECT_EQ(Run({"--cpu_profile=" + tree_, "--min_cpu=1h"}).status, 1);  // a directory
}

TEST_F(Wordcount, RefusesBadFlags) {
  const std::pair<const char*, const char*> cases[] = {
      {"--no_such_flag", "no_such_flag"},
      {"--repeat=0", "--repeat must be at least 1"},
      {"--repeat=many", "repeat"},
      {"--in_flight=0", "--in_flight must be at least 1"},
      {"--top=-1", "--top must not be negative"},
      {"--min_cpu=inf", "--min_cpu must be finite"},
      {"--workers=0", "0 workers"},
      {"--workers=-3", "-3 workers"},
      {"--profile_hz=0", "rate_hz is 0"},
      {"--profile_hz=1000000", "rate_hz is 1000000"},
  };
  for (const auto& [flag, message] : cases) {
    const ProgramResult result = Run({flag, tree_});
    EXPECT_EQ(result.status, 1) << flag;
    EXPECT_EQ(result.out, "") << flag;
    EXPECT_THAT(result.err, HasSubstr(message)) << flag;
    EXPECT_NE(access(profile_.c_str(), F_OK), 0) << flag;
  }
}

TEST_F(Wordcount, HelpListsEachFlag) {
  for (const char* ask : {"--help", "-h"}) {
    const ProgramResult result = RunProgram({program_, ask});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.err, "");
    EXPECT_THAT(result.out, HasSubstr("Usage: wordcount [FLAG...] [DIRECTORY|FILE...]\n"));
    for (const char* flag :
         {"--check=false", "--cpu_profile=cpu.pb.gz", "--in_flight=256", "--min_cpu=0",
          "--profile_hz=100", "--repeat=1", "--top=20", "--workers"}) {
      EXPECT_THAT(result.out, HasSubstr(std::string("\n  ") + flag + "\n      "));
    }
    EXPECT_THAT(result.out, Not(HasSubstr("flagfile")));  // another library's
  }
}

TEST_F(Wordcount, AReaderThatLeavesIsNoFailure) {
  WriteFile(tree_ + "/a", "word");
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  const ProgramResult result = Run({tree_}, {.out_fd = ends[1]});
  close(ends[1]);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(ReadFile(profile_), StartsWith("\x1f\x8b"));
}

TEST_F(Wordcount, OutputThatCannotBeWrittenIsAFailure) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  const ProgramResult result = Run({tree_}, {.out_fd = full});
  close(full);
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.err, "wordcount: cannot write to standard output: No space left on device\n");
}

TEST_F(Wordcount, ShowsProgressOnATerminalOnly) {
  for (int i = 0; i < 100; ++i) WriteFile(tree_ + "/" + std::to_string(i), "word");
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(grantpt(terminal), 0);
  ASSERT_EQ(unlockpt(terminal), 0);
  const int other = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(other, 0);
  std::string shown;
  std::thread reader([&] {  // until nobody has the other end any more
    char data[4096];
    for (ssize_t size; (size = read(terminal, data, sizeof(data))) > 0;) {
      shown.append(data, static_cast<size_t>(size));
    }
  });
  EXPECT_EQ(Run({"--min_cpu=500ms", tree_}, {.err_fd = other}).status, 0);
  close(other);
  reader.join();
  EXPECT_THAT(shown, HasSubstr(" files, "));
  EXPECT_THAT(shown, EndsWith("\r\033[K"));
  close(terminal);
  EXPECT_EQ(Run({"--min_cpu=200ms", tree_}).err, "");
}

}  // namespace
}  // namespace curg
