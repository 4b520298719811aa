// SPDX-License-Identifier: Apache-2.0
//
// Whole tables, as they are printed.
#include "export/text.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "labels/label_set.h"
#include "profiler/pseudo_frames.h"

namespace curg {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Symbols final : public FrameSource {
 public:
  void Add(uintptr_t address, const std::vector<std::string>& functions) {
    for (const std::string& function : functions) {
      frames_[address].emplace_back().function = function;
    }
  }
  const std::vector<Frame>& FramesAt(uintptr_t address) override { return frames_[address]; }

 private:
  std::map<uintptr_t, std::vector<Frame>> frames_;
};

void Add(CpuProfile& profile, int64_t samples, std::vector<uintptr_t> pcs, Labels labels = {},
         SampleKind kind = SampleKind::kTask) {
  CpuProfileEntry& entry = profile.entries.emplace_back();
  entry.pcs = std::move(pcs);
  entry.tag = labels;
  entry.kind = kind;
  entry.samples = samples;
  entry.weight = samples * profile.period_ns;
}

CpuProfile Labelled() {
  CpuProfile profile;
  profile.period_ns = 10'000'000;
  Add(profile, 600, {1}, Labels::Of({{"phase", "tokenize"}, {"ext", "h"}}));
  Add(profile, 200, {1}, Labels::Of({{"phase", "read"}, {"ext", "h"}}));
  Add(profile, 100, {2}, Labels::Of({{"phase", "read"}, {"ext", "h"}}));
  Add(profile, 50, {1}, Labels::Of({{"phase", "merge"}}));
  Add(profile, 30, {1}, {}, SampleKind::kRuntime);
  Add(profile, 15, {1});
  Add(profile, 5, {1}, {}, SampleKind::kForeign);
  return profile;
}

TEST(Text, CpuByLabel) {
  EXPECT_EQ(CpuByLabel(Labelled(), {"phase", "ext"}, {.width = 60}),
            R"(CPU by phase, ext (10.00s of CPU time, 1000 samples)
  phase              ext   time  share
  tokenize           h    6.00s  60.0%  ####################
  read               h    3.00s  30.0%  ##########
  merge              -    0.50s   5.0%  ##
  (runtime)               0.30s   3.0%  #
  (no label)              0.15s   1.5%  #
  (foreign threads)       0.05s   0.5%  #
)");
}

TEST(Text, CpuByOneLabel) {
  EXPECT_EQ(CpuByLabel(Labelled(), {"ext"}, {.width = 50}),
            R"(CPU by ext (10.00s of CPU time, 1000 samples)
  ext                 time  share
  h                  9.00s  90.0%  ###############
  (no label)         0.65s   6.5%  #
  (runtime)          0.30s   3.0%  #
  (foreign threads)  0.05s   0.5%  #
)");
}

TEST(Text, MoreRowsAreSummedUp) {
  CpuProfile profile;
  profile.period_ns = 10'000'000;
  for (int i = 1; i <= 5; ++i) {
    Add(profile, 100 * i, {1}, Labels::Of({{"n", absl::StrCat(i)}}));
  }
  Add(profile, 1, {}, {}, SampleKind::kLost);
  EXPECT_EQ(CpuByLabel(profile, {"n"}, {.width = 40, .rows_max = 2}),
            R"(CPU by n (15.01s of CPU time, 1501 samples)
  n          time  share
  5         5.00s  33.3%  ############
  4         4.00s  26.6%  #########
  (3 more)  6.00s  40.0%  ##############
  (lost)    0.01s   0.1%  #
)");
}

// Values cannot break the table, nor drive the terminal, nor be taken for rows of other kinds.
TEST(Text, LabelValuesAreQuotedWhereNeeded) {
  CpuProfile profile;
  profile.period_ns = 10'000'000;
  for (const char* value :
       {"plain", "", "(runtime)", "a\nb", "\x1B[31m", " pad", "日本", "say \"x\"", "-", "a-b"}) {
    Add(profile, 100, {1}, Labels::Of({{"v", value}}));
  }
  const std::string table = CpuByLabel(profile, {"v"});
  for (const char* cell :
       {"  plain ", "  \"\" ", "  \"(runtime)\" ", "  \"a\\nb\" ", "  \"-\" ", "  a-b ",
        "  \"\\x1b[31m\" ", "  \" pad\" ", "  日本 ", "  \"say \\\"x\\\"\" "}) {
    EXPECT_THAT(table, HasSubstr(cell));
  }
  EXPECT_THAT(table, Not(HasSubstr("\x1B")));
  // Aligned by columns, not by bytes: all rows have their share at the same place.
  for (const auto line : absl::StrSplit(table, '\n')) {
    const std::string row(line);
    if (row.find("10.0%") == std::string::npos) continue;
    size_t columns = 0;
    for (size_t i = 0; i < row.find("10.0%"); ++i) columns += (row[i] & 0xC0) != 0x80;
    EXPECT_EQ(columns, 22u) << row;
  }
}

CpuProfile Stacks(Symbols& symbols) {
  symbols.Add(0x10, {"Leaf"});
  symbols.Add(0x20, {"Inlined", "Caller"});
  symbols.Add(0x30, {"main"});
  symbols.Add(0x40,
              {"ns::Recursive<std::map<int, std::vector<long, std::allocator<long> > > >::Call"});
  CpuProfile profile;
  profile.period_ns = 1'000'000;
  Add(profile, 500, {0x10, 0x20 + 1, 0x30 + 1});
  Add(profile, 300, {0x20, 0x30 + 1});
  Add(profile, 150, {0x40, 0x40 + 1, 0x40 + 1, 0x30 + 1});
  Add(profile, 40, {0xABC, 0x30 + 1}, {}, SampleKind::kRuntime);
  Add(profile, 10, {internal::PseudoLeaf(&LostSamples)}, {}, SampleKind::kLost);
  return profile;
}

TEST(Text, TopFunctions) {
  Symbols symbols;
  EXPECT_EQ(TopFunctions(Stacks(symbols), symbols, {.width = 75}),
            R"(Top functions (1.00s of CPU time, 1000 samples)
   flat  flat%    sum%    cum   cum%  function
  0.50s  50.0%   50.0%  0.50s  50.0%  Leaf
  0.30s  30.0%   80.0%  0.80s  80.0%  Inlined
  0.15s  15.0%   95.0%  0.15s  15.0%  ns::Recursive<...>::Call
  0.04s   4.0%   99.0%  0.04s   4.0%  0xabc
  0.01s   1.0%  100.0%  0.01s   1.0%  curg::LostSamples
  0.00s   0.0%  100.0%  0.99s  99.0%  main
  0.00s   0.0%  100.0%  0.80s  80.0%  Caller
  0.00s   0.0%  100.0%  0.04s   4.0%  curg::RuntimeThread
)");
}

TEST(Text, TopFunctionsShowsTheFirst) {
  Symbols symbols;
  const std::string table = TopFunctions(Stacks(symbols), symbols, {.rows_max = 2});
  EXPECT_THAT(table, HasSubstr("Inlined\n  ... and 6 more functions\n"));
  EXPECT_THAT(table, Not(HasSubstr("main")));
}

TEST(Text, FewSamplesAreRough) {
  CpuProfile profile;
  profile.period_ns = 10'000'000;
  Add(profile, 199, {1}, Labels::Of({{"a", "1"}}));
  Symbols symbols;
  constexpr char kNote[] = "note: only 199 samples; below 200, shares are rough\n";
  EXPECT_THAT(CpuByLabel(profile, {"a"}), HasSubstr(kNote));
  EXPECT_THAT(TopFunctions(profile, symbols), HasSubstr(kNote));
  EXPECT_THAT(CpuByLabel(profile, {"a"}, {.notes = false}), Not(HasSubstr("note:")));
  EXPECT_THAT(TopFunctions(profile, symbols, {.notes = false}), Not(HasSubstr("note:")));
  profile.entries[0].samples = 200;
  EXPECT_THAT(CpuByLabel(profile, {"a"}), Not(HasSubstr("note:")));
}

TEST(Text, LossesAreSaid) {
  CpuProfile profile = Labelled();
  profile.quality.lost_samples = 3;
  profile.quality.lost_weight = 50'000'000;
  profile.quality.truncated = 7;
  const std::string table = CpuByLabel(profile, {"phase"});
  EXPECT_THAT(table, HasSubstr("warning: lost: 3 samples (50ms) found no room in a prof buffer\n"));
  EXPECT_THAT(table, HasSubstr("warning: truncated: 7 stacks were deeper than recorded\n"));
}

TEST(Text, AnEmptyProfileIsAnEmptyTable) {
  CpuProfile profile;
  profile.period_ns = 10'000'000;
  profile.quality.cpu_time = absl::Seconds(2);
  Symbols symbols;
  EXPECT_EQ(TopFunctions(profile, symbols),
            R"(Top functions (0ms of CPU time, 0 samples)
  flat  flat%  sum%  cum  cum%  function
note: only 0 samples; below 200, shares are rough
warning: nothing was recorded, although the program used 2s of CPU time
)");
}

TEST(Text, NoLineIsWiderThanAsked) {
  Symbols symbols;
  const CpuProfile profile = Stacks(symbols);
  for (size_t width : {60, 80, 120}) {
    for (const std::string& table : {TopFunctions(profile, symbols, {.width = width}),
                                     CpuByLabel(Labelled(), {"phase", "ext"}, {.width = width})}) {
      for (const auto line : absl::StrSplit(table, '\n')) EXPECT_LE(line.size(), width) << line;
    }
  }
}

}  // namespace
}  // namespace curg
