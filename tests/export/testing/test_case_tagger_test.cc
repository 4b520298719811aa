// SPDX-License-Identifier: Apache-2.0
#include "export/testing/test_case_tagger.h"

#include <atomic>

#include "gtest/gtest.h"
#include "labels/label_set.h"
#include "tests/profiler/counted_tag.h"

namespace curg::internal {
namespace {

TEST(TestCaseTagger, GoesByTheTimeOfTheSample) {
  TestCaseTagger tagger;
  tagger.Begin(10, Labels::Of({{"test_case", "A"}}));
  tagger.Begin(20, Labels());
  tagger.Begin(30, Labels::Of({{"test_case", "B"}}));
  const auto at = [&](uint64_t time) {
    return Labels::FromTag(tagger.TagOf(nullptr, time)).ToString();
  };
  EXPECT_EQ(at(9), "{}");
  EXPECT_EQ(at(10), R"({"test_case":"A"})");
  EXPECT_EQ(at(19), R"({"test_case":"A"})");
  EXPECT_EQ(at(20), "{}");
  EXPECT_EQ(at(1000), R"({"test_case":"B"})");
}

TEST(TestCaseTagger, KeepsTheTasksOwnLabels) {
  TestCaseTagger tagger;
  tagger.Begin(0, Labels::Of({{"test_case", "A"}, {"test_suite", "S"}}));
  const Labels own = Labels::Of({{"phase", "read"}, {"test_case", "mine"}});
  const TagRef own_tag = own;
  EXPECT_EQ(Labels::FromTag(tagger.TagOf(own_tag.get(), 1)).ToString(),
            R"({"phase":"read", "test_case":"mine", "test_suite":"S"})");
}

TEST(TestCaseTagger, LeavesOtherTagsAlone) {
  std::atomic<int> alive{0};
  {
    TestCaseTagger tagger;
    tagger.Begin(0, Labels::Of({{"test_case", "A"}}));
    const TagRef other = TagRef::Adopt(new CountedTag(alive));
    EXPECT_EQ(tagger.TagOf(other.get(), 1), other);
  }
  EXPECT_EQ(alive.load(), 0);
}

}  // namespace
}  // namespace curg::internal
