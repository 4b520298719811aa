// SPDX-License-Identifier: Apache-2.0
#include "export/label_sums.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "labels/label_set.h"

namespace curg {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

CpuProfileEntry Entry(Labels labels, int64_t samples, int64_t weight,
                      SampleKind kind = SampleKind::kTask) {
  CpuProfileEntry entry;
  entry.tag = std::move(labels);
  entry.kind = kind;
  entry.samples = samples;
  entry.weight = weight;
  return entry;
}

// "value,value kind samples periods", "-" for no value.
std::vector<std::string> Lines(const std::vector<LabelSum>& sums) {
  std::vector<std::string> lines;
  for (const LabelSum& sum : sums) {
    std::string line;
    for (const auto& value : sum.values) absl::StrAppend(&line, value.value_or("-"), ",");
    lines.push_back(absl::StrCat(line, " ", static_cast<int>(sum.kind), " ", sum.samples, " ",
                                 sum.weight, sum.Labelled() ? " labelled" : ""));
  }
  return lines;
}

CpuProfile Example() {
  CpuProfile profile;
  profile.entries = {
      Entry(Labels::Of({{"a", "x"}, {"b", "1"}}), 1, 2),
      Entry(Labels::Of({{"a", "x"}, {"b", "2"}}), 10, 20),
      Entry(Labels::Of({{"a", ""}}), 100, 200),
      Entry(Labels::Of({{"c", "z"}}), 3, 3),
      Entry(Labels(), 4, 5),
      Entry(Labels(), 7, 1, SampleKind::kRuntime),
      Entry(Labels::Of({{"a", "x"}}), 6, 6, SampleKind::kForeign),
  };
  return profile;
}

TEST(LabelSums, OneKey) {
  EXPECT_THAT(Lines(SumByLabel(Example(), {"a"})),
              ElementsAre(", 0 100 200 labelled", "x, 0 11 22 labelled", "-, 0 7 8",
                          "x, 2 6 6 labelled", "-, 1 7 1"));
}

TEST(LabelSums, CombinationsOfKeys) {
  EXPECT_THAT(Lines(SumByLabel(Example(), {"b", "a"})),
              ElementsAre("-,, 0 100 200 labelled", "2,x, 0 10 20 labelled", "-,-, 0 7 8",
                          "-,x, 2 6 6 labelled", "1,x, 0 1 2 labelled", "-,-, 1 7 1"));
}

TEST(LabelSums, NoKeysSumByKind) {
  EXPECT_THAT(Lines(SumByLabel(Example(), {})), ElementsAre(" 0 118 230", " 2 6 6", " 1 7 1"));
  EXPECT_THAT(SumByLabel(CpuProfile(), {"a"}), IsEmpty());
}

}  // namespace
}  // namespace curg
