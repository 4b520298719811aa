// SPDX-License-Identifier: Apache-2.0
//
// What the real `go tool pprof` reads from the files that the examples write.

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <regex>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/listening_process.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

// Standard output of `go tool pprof ARGUMENTS... PROFILE`.
std::string Pprof(std::vector<std::string> arguments, const std::string& profile) {
  arguments.insert(arguments.begin(), ProgramPath("CURG_PPROF"));
  arguments.push_back(profile);
  // No home: no settings of whoever runs the test.
  const ProgramResult result = RunProgram(arguments, {.environment = {"HOME=" + NewDirectory()}});
  EXPECT_EQ(result.status, 0) << result.err;
  return result.out;
}

// The function in the first line of `-top`.
std::string TopFunction(const std::string& top) {
  std::smatch match;
  const std::regex first_row("cum%\n(?: +\\S+){5} +([^\n]*)\n");
  return std::regex_search(top, match, first_row) ? match[1].str() : "none in: " + top;
}

// The percentage that `-tags` gives a value of a label.
double TagPercent(const std::string& tags, const std::string& value) {
  std::smatch match;
  const std::regex row("\\( *([0-9.]+)%\\): " + value + "\n");
  return std::regex_search(tags, match, row) ? std::stod(match[1]) : -1;
}

// Where "examples/cpu_profile.cc" is.
std::string SourceRoot() { return std::filesystem::current_path(); }

// None of those that the kernel gives to whoever asks for any.
uint16_t FreePort() {
  std::random_device random;
  for (int i = 0; i < 1000; ++i) {
    const auto port = static_cast<uint16_t>(10'000 + random() % 20'000);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool free = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    close(fd);
    if (free) return port;
  }
  ADD_FAILURE() << "no port is free";
  return 0;
}

class CpuProfileFile : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    profile_ = NewDirectory() + "/cpu.pb.gz";
    result_ = RunProgram({ProgramPath("CPU_PROFILE"), profile_});
  }

  static inline std::string profile_;
  static inline ProgramResult result_;
};

TEST_F(CpuProfileFile, TheProgramNamesTheCommands) {
  EXPECT_EQ(result_.status, 0) << result_.err;
  for (const char* option : {"-top", "-tags", "-peek=SumOfDivisors"}) {
    EXPECT_THAT(result_.out,
                HasSubstr(std::string("go tool pprof ") + option + " " + profile_ + "\n"));
  }
}

TEST_F(CpuProfileFile, TopIsLedByWhatBurnsTheCpu) {
  const std::string top = Pprof({"-top"}, profile_);
  EXPECT_EQ(TopFunction(top), "SumOfDivisors") << top;
  EXPECT_THAT(top, HasSubstr("Type: cpu\n"));
  EXPECT_THAT(top, HasSubstr("File: cpu_profile\n"));
}

TEST_F(CpuProfileFile, TagsSplitByLabelWhateverTheThread) {
  // Three tasks of four, of equal work, are acme's. Noise of some hundred samples: a few points; if
  // it is more, a longer profile decides.
  std::string tags;
  for (const char* largest : {"300000", "600000", "1200000"}) {
    const std::string path = NewDirectory() + "/cpu.pb.gz";
    ASSERT_EQ(RunProgram({ProgramPath("CPU_PROFILE"), path, largest}).status, 0);
    tags = Pprof({"-tags"}, path);
    const double acme = TagPercent(tags, "acme");
    const double initech = TagPercent(tags, "initech");
    if (acme >= 68 && acme <= 82 && initech >= 18 && initech <= 32) return;
  }
  ADD_FAILURE() << tags;
}

TEST_F(CpuProfileFile, TagFocusSelects) {
  const std::string top = Pprof({"-top", "-tagfocus=tenant=initech"}, profile_);
  EXPECT_EQ(TopFunction(top), "SumOfDivisors") << top;
  const std::string tags = Pprof({"-tags", "-tagfocus=tenant=initech"}, profile_);
  EXPECT_THAT(tags, AllOf(HasSubstr(": initech\n"), Not(HasSubstr(": acme\n"))));
}

TEST_F(CpuProfileFile, PeekShowsCallers) {
  const std::string peek = Pprof({"-peek=^SumOfDivisors$"}, profile_);
  EXPECT_THAT(peek, ContainsRegex("\\| +CountPerfectNumbers\n"));
  EXPECT_THAT(peek, ContainsRegex("\\| SumOfDivisors\n"));
}

TEST_F(CpuProfileFile, LinesAreThoseOfTheSource) {
  const std::string lines = Pprof({"-top", "-lines"}, profile_);
  EXPECT_THAT(TopFunction(lines), ContainsRegex("^SumOfDivisors .*cpu_profile\\.cc:[1-9]"));
}

TEST_F(CpuProfileFile, RawIsWhole) {
  const std::string raw = Pprof({"-raw"}, profile_);
  EXPECT_THAT(raw, HasSubstr("PeriodType: cpu nanoseconds\n"));
  EXPECT_THAT(raw, HasSubstr("Period: 10000000\n"));
  EXPECT_THAT(raw, HasSubstr("samples/count cpu/nanoseconds"));
  EXPECT_THAT(raw, ContainsRegex("tenant:\\[acme\\]"));
  EXPECT_THAT(raw, ContainsRegex("/cpu_profile [0-9a-f]{16,} \\[FN\\]"));  // a build id, symbolized
  EXPECT_THAT(raw, HasSubstr("engine: "));
}

// `go tool pprof` adds up what several files say.
TEST_F(CpuProfileFile, TwoFilesAreMerged) {
  const auto samples = [](const std::string& raw) {
    int64_t sum = 0;
    const std::regex row("\n +([0-9]+) +[0-9]+: ");
    for (std::sregex_iterator it(raw.begin(), raw.end(), row), end; it != end; ++it) {
      sum += std::stoll((*it)[1]);
    }
    return sum;
  };
  const int64_t one = samples(Pprof({"-raw"}, profile_));
  EXPECT_GT(one, 0);
  EXPECT_EQ(samples(Pprof({"-raw", profile_}, profile_)), 2 * one);
}

TEST_F(CpuProfileFile, DiffBaseOfItselfLeavesNothing) {
  EXPECT_THAT(Pprof({"-top", "-diff_base=" + profile_}, profile_),
              HasSubstr("Showing nodes accounting for 0, 0%"));
}

TEST_F(CpuProfileFile, TagRootPutsLabelsAtTheRoot) {
  const std::string top = Pprof({"-top", "-cum", "-tagroot=tenant"}, profile_);
  EXPECT_THAT(top, AllOf(ContainsRegex(" acme\n"), ContainsRegex(" initech\n")));
}

TEST_F(CpuProfileFile, ListShowsTheSource) {
  const std::string list =
      Pprof({"-list=^SumOfDivisors$", "-source_path=" + SourceRoot()}, profile_);
  EXPECT_THAT(list, AllOf(HasSubstr("ROUTINE ======================== SumOfDivisors in "),
                          ContainsRegex("[0-9]+m?s +[0-9.]+m?s +[0-9]+: +(for|if) [(]")));
}

// (Go's disassembler knows lines of Go programs only, so it has no listing of a C++ function to
// show; pprof with binutils has.)
TEST_F(CpuProfileFile, WeblistWritesItsPage) {
  const std::string html = NewDirectory() + "/weblist.html";
  Pprof({"-weblist=SumOfDivisors", "-source_path=" + SourceRoot(), "-output=" + html}, profile_);
  EXPECT_THAT(ReadFile(html), AllOf(HasSubstr("Type: cpu"), HasSubstr("Total: ")));
}

TEST_F(CpuProfileFile, TheWebPagesOpen) {
  setenv("HOME", NewDirectory().c_str(), /*overwrite=*/1);  // pprof keeps settings there
  // A port that is free, if nobody takes it meanwhile; then another one is tried.
  std::string pages;
  for (int attempt = 0; attempt < 5 && pages.empty(); ++attempt) {
    const std::string address = "127.0.0.1:" + std::to_string(FreePort());
    ListeningProcess server(
        {ProgramPath("CURG_PPROF"), "-http=" + address, "-no_browser", profile_}, 0);
    for (const char* page : {"top", "flamegraph", "peek?f=SumOfDivisors"}) {
      pages += RunProgram({"/usr/bin/curl", "-s", "--max-time", "60", "--retry", "30",
                           "--retry-connrefused", "--retry-delay", "1",
                           "http://" + address + "/ui/" + page})
                   .out;
    }
  }
  EXPECT_THAT(pages, HasSubstr("SumOfDivisors"));
  EXPECT_THAT(pages, HasSubstr("stackViewer"));  // the flame graph's script
}

TEST(WordcountFile, OpensInPprof) {
  const std::string tree = NewDirectory();
  for (int file = 0; file < 500; ++file) {  // small ones: reading shall be seen, too
    std::string text;
    for (int i = 0; i < 500; ++i) {
      text += "word" + std::to_string(i * (file + 1) % 5000) + (i % 10 == 9 ? "\n" : " ");
    }
    WriteFile(tree + "/" + std::to_string(file) + (file % 2 == 0 ? ".txt" : ".h"), text);
  }
  const std::string profile = NewDirectory() + "/cpu.pb.gz";
  const ProgramResult result =
      RunProgram({ProgramPath("WORDCOUNT"), "--min_cpu=2s", "--cpu_profile=" + profile, tree});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("go tool pprof -http=: " + profile + "\n"));

  const std::string top = Pprof({"-top", "-cum", "-nodecount=60"}, profile);
  EXPECT_THAT(top, HasSubstr("wordcount::CountWords"));
  EXPECT_THAT(top, HasSubstr("wordcount::CountFile"));
  // Inlined functions without a linkage name, too.
  EXPECT_THAT(top, ContainsRegex("wordcount::\\(anonymous namespace\\)::"));
  EXPECT_THAT(top, Not(HasSubstr("::::")));
  const std::string tags = Pprof({"-tags"}, profile);
  EXPECT_THAT(tags, AllOf(HasSubstr(" phase: Total "), HasSubstr(": read\n"),
                          HasSubstr(": tokenize\n"), HasSubstr(": merge\n")));
  EXPECT_THAT(tags, AllOf(HasSubstr(" ext: Total "), HasSubstr(": txt\n"), HasSubstr(": h\n")));
  // Much of the work is to cut texts into words and to count these.
  EXPECT_GT(TagPercent(tags, "tokenize"), 20) << tags;
  const std::string peek = Pprof({"-peek=wordcount::CountWords$"}, profile);
  EXPECT_THAT(peek, ContainsRegex("\\| +wordcount::.*CountChunk"));
  EXPECT_THAT(peek, ContainsRegex("\\| +wordcount::.*AddWord"));
}

}  // namespace
}  // namespace curg
