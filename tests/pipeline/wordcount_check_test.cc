// SPDX-License-Identifier: Apache-2.0
//
// wordcount's profile against the kernel's clocks (see examples/wordcount/check.h), on a little CPU
// time.

#include <cstdint>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

// Text with few and with many different words, so that no phase is negligible.
std::string NewTree() {
  std::string tree = NewDirectory();
  uint32_t random = 1;
  for (int file = 0; file < 100; ++file) {
    std::string text;
    for (int i = 0; i < 8'000; ++i) {
      random = random * 1664525 + 1013904223;
      text += "w" + std::to_string((random >> 8) % (file % 2 == 0 ? 500 : 50'000)) + " ";
    }
    WriteFile(tree + "/" + std::to_string(file) + (file % 2 == 0 ? ".few" : ".many"), text);
  }
  return tree;
}

class WordcountCheck : public ::testing::TestWithParam<const char*> {};

// Statistics of a few hundred samples; should they be unlucky, a longer run decides.
TEST_P(WordcountCheck, Holds) {
  const std::string tree = NewTree();
  ProgramResult result;
  for (const char* min_cpu : {"--min_cpu=2s", "--min_cpu=4s", "--min_cpu=10s"}) {
    result = RunProgram({ProgramPath("WORDCOUNT"), "--check", min_cpu,
                         "--cpu_profile=", std::string("--workers=") + GetParam(), tree});
    ASSERT_TRUE(result.status == 0 || result.status == 2) << result.status << result.err;
    EXPECT_THAT(result.out, testing::HasSubstr("\nCheck "));
    if (result.status == 0) break;
  }
  EXPECT_EQ(result.status, 0) << result.out;
}

INSTANTIATE_TEST_SUITE_P(Workers, WordcountCheck, testing::Values("1", "2", ""),
                         [](const testing::TestParamInfo<const char*>& info) {
                           return *info.param == '\0' ? std::string("AsManyAsCpus")
                                                      : std::string(info.param);
                         });

}  // namespace
}  // namespace curg
