// SPDX-License-Identifier: Apache-2.0
#include "profiler/proc_self.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace curg::internal {
namespace {

std::string Describe(absl::string_view text) {
  return absl::StrJoin(ParseProcMaps(text), "\n", [](std::string* out, const ProcMapping& m) {
    absl::StrAppend(out, absl::Hex(m.start), " ", absl::Hex(m.limit), " ", absl::Hex(m.offset), " ",
                    m.executable ? "x" : "-", " '", m.path, "'");
  });
}

// in -> out
TEST(ProcMaps, ParsesWhatTheKernelWrites) {
  EXPECT_EQ(Describe("00400000-07a8d000 r-xp 00000000 00:22 1234    /bin/cat\n"
                     "7ffe7c4f0000-7ffe7c511000 rw-p 00000000 00:00 0      [stack]\n"
                     "7f7d77d41000-7f7d77d64000 r--p 0001f000 08:01 1835     /lib/ld-2.19.so\n"),
            "400000 7a8d000 0 x '/bin/cat'\n"
            "7ffe7c4f0000 7ffe7c511000 0 - '[stack]'\n"
            "7f7d77d41000 7f7d77d64000 1f000 - '/lib/ld-2.19.so'");
  EXPECT_EQ(Describe("00400000-00492000 r-xp 00002000 fd:03 1116 /home/me/the program (deleted)\n"),
            "400000 492000 2000 x '/home/me/the program (deleted)'");
  EXPECT_EQ(Describe("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0    [vsyscall]\n"),
            "ffffffffff600000 ffffffffff601000 0 x '[vsyscall]'");
  EXPECT_EQ(Describe("7ffc34343000-7ffc34345000 r-xp 00000000 00:00 0   [vdso]"),
            "7ffc34343000 7ffc34345000 0 x '[vdso]'");
  EXPECT_EQ(Describe("7f0000000000-7f0000001000 rwxp 00000000 00:00 0 \n"),
            "7f0000000000 7f0000001000 0 x ''");
}

TEST(ProcMaps, LeavesOutWhatItDoesNotUnderstand) {
  EXPECT_EQ(Describe(""), "");
  EXPECT_EQ(Describe("\n\n"), "");
  EXPECT_EQ(Describe("garbage\n"
                     "zzz-100 r-xp 0 0:0 0 /a\n"
                     "200-100 r-xp 0 0:0 0 /b\n"
                     "100-200 r\n"
                     "100-200 r-xp 0 0:0 0 /c\n"),
            "100 200 0 x '/c'");
}

TEST(ProcMaps, FindsThisFunction) {
  const auto here = reinterpret_cast<uintptr_t>(&ParseProcMaps);
  const absl::StatusOr<std::vector<ProcMapping>> mappings = ReadProcMaps();
  ASSERT_TRUE(mappings.ok()) << mappings.status();
  const auto it = std::find_if(mappings->begin(), mappings->end(), [here](const ProcMapping& m) {
    return m.start <= here && here < m.limit;
  });
  ASSERT_NE(it, mappings->end());
  EXPECT_TRUE(it->executable);
}

TEST(ThreadSwitches, GrowWithEachSleep) {
  if (!ReadThreadSwitches(gettid()).has_value()) GTEST_SKIP() << "this kernel does not tell";
  int64_t grown = 0;
  // A sleep is none if the machine stands still until it is over.
  for (int round = 0; round < 10 && grown < 10; ++round) {
    const int64_t before = ReadThreadSwitches(gettid()).value();
    for (int i = 0; i < 10; ++i) usleep(100);
    grown = ReadThreadSwitches(gettid()).value() - before;
  }
  EXPECT_GE(grown, 10);
  EXPECT_FALSE(ReadThreadSwitches(1 << 30).has_value());
}

TEST(ThreadIds, ListThisThreadAndOthers) {
  pid_t other = 0;
  std::vector<pid_t> ids;
  std::thread([&] {
    other = gettid();
    ids = ReadThreadIds().value();
  }).join();
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_TRUE(std::binary_search(ids.begin(), ids.end(), gettid()));
  EXPECT_TRUE(std::binary_search(ids.begin(), ids.end(), other));
}

}  // namespace
}  // namespace curg::internal
