// SPDX-License-Identifier: Apache-2.0
//
// Labels as values; no task is involved. tests/labels/labels_test.cc has the current task's.
#include "labels/label_set.h"

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace curg {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Every test ends with as many sets alive as it began with: interning must not retain.
class LabelSetTest : public ::testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(LabelSet::LiveCountForTesting(), live_before_); }
  const size_t live_before_ = LabelSet::LiveCountForTesting();
};

TEST_F(LabelSetTest, NoneIsEmptyAndHasNoTag) {
  const Labels none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.size(), 0u);
  EXPECT_THAT(none.pairs(), IsEmpty());
  EXPECT_EQ(none.Get("phase"), std::nullopt);
  EXPECT_EQ(none.ToString(), "{}");
  EXPECT_FALSE(TagRef(none));
  EXPECT_EQ(none, Labels::Of({}));
  EXPECT_EQ(none, none.With({}));
}

TEST_F(LabelSetTest, OneThenAddThenReplaceThenDuplicate) {
  const Labels one = Labels::Of({{"key1", "value1"}});
  EXPECT_THAT(one, ElementsAre(Label{"key1", "value1"}));

  const Labels two = one.With({{"key2", "value2"}});
  EXPECT_THAT(two, ElementsAre(Label{"key1", "value1"}, Label{"key2", "value2"}));
  EXPECT_THAT(one, ElementsAre(Label{"key1", "value1"})) << "With must not change its base";

  const Labels replaced = two.With({{"key1", "value3"}});
  EXPECT_THAT(replaced, ElementsAre(Label{"key1", "value3"}, Label{"key2", "value2"}));

  const Labels last_wins = two.With({{"key1", "first"}, {"key3", "x"}, {"key1", "last"}});
  EXPECT_THAT(last_wins,
              ElementsAre(Label{"key1", "last"}, Label{"key2", "value2"}, Label{"key3", "x"}));
}

TEST_F(LabelSetTest, GetAgreesWithIteration) {
  const Labels labels = Labels::Of({{"b", "2"}, {"a", "1"}, {"", "empty key"}, {"c", ""}});
  for (const Label& label : labels) EXPECT_EQ(labels.Get(label.key), label.value);
  EXPECT_EQ(labels.Get("c"), "");
  EXPECT_EQ(labels.Get("d"), std::nullopt);
  EXPECT_EQ(labels.Get("aa"), std::nullopt);
}

TEST_F(LabelSetTest, SortedByKeyWhateverTheOrder) {
  EXPECT_EQ(Labels::Of({{"b", "2"}, {"a", "1"}}), Labels::Of({{"a", "1"}, {"b", "2"}}));
  EXPECT_THAT(
      Labels::Of({{"b", "2"}, {"B", "0"}, {"a", "1"}, {"\xC3\xA9", "3"}}),
      ElementsAre(Label{"B", "0"}, Label{"a", "1"}, Label{"b", "2"}, Label{"\xC3\xA9", "3"}));
}

TEST_F(LabelSetTest, WithLabelsMergesAndTheArgumentWins) {
  const Labels base = Labels::Of({{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(base.With(Labels::Of({{"b", "3"}, {"c", "4"}})),
            Labels::Of({{"a", "1"}, {"b", "3"}, {"c", "4"}}));
  EXPECT_EQ(base.With(Labels()), base);
  EXPECT_EQ(Labels().With(base), base);
}

TEST_F(LabelSetTest, Without) {
  const Labels base = Labels::Of({{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(base.Without("a"), Labels::Of({{"b", "2"}}));
  EXPECT_EQ(base.Without("z"), base);
  EXPECT_EQ(base.Without("a").Without("b"), Labels());
}

TEST_F(LabelSetTest, KeepsItsOwnCopyOfTheText) {
  std::string key = "key", value = "value";
  const Labels labels = Labels::Of({{key, value}});
  key = value = "overwritten";
  EXPECT_THAT(labels, ElementsAre(Label{"key", "value"}));
}

TEST_F(LabelSetTest, EqualSetsAreOneObject) {
  const TagRef a = Labels::Of({{"a", "1"}, {"b", "2"}});
  const TagRef b = Labels::Of({{"b", "2"}}).With({{"a", "1"}});
  EXPECT_EQ(a.get(), b.get());
  EXPECT_NE(a.get(), TagRef(Labels::Of({{"a", "1"}, {"b", "3"}})).get());
  // The boundary between texts is part of their identity.
  EXPECT_NE(TagRef(Labels::Of({{"ab", "c"}})).get(), TagRef(Labels::Of({{"a", "bc"}})).get());
}

TEST_F(LabelSetTest, TheLastReferenceEndsTheSet) {
  Labels labels = Labels::Of({{"request", "1"}});
  EXPECT_EQ(LabelSet::LiveCountForTesting(), live_before_ + 1);
  Labels copy = labels;
  labels = Labels();
  EXPECT_EQ(copy.Get("request"), "1");
  copy = Labels();
  EXPECT_EQ(LabelSet::LiveCountForTesting(), live_before_);
}

TEST_F(LabelSetTest, FromTagKnowsItsOwnOnly) {
  class Other final : public Tag {};
  const TagRef other = TagRef::Adopt(new Other);
  EXPECT_EQ(LabelSet::FromTag(nullptr), nullptr);
  EXPECT_EQ(LabelSet::FromTag(other.get()), nullptr);
  EXPECT_TRUE(Labels::FromTag(other).empty());

  const Labels labels = Labels::Of({{"a", "1"}});
  const TagRef tag = labels;
  ASSERT_NE(LabelSet::FromTag(tag.get()), nullptr);
  EXPECT_EQ(LabelSet::FromTag(tag.get())->Get("a"), "1");
  EXPECT_EQ(Labels::FromTag(tag), labels);
}

TEST_F(LabelSetTest, ToStringQuotesAsGoDoes) {
  EXPECT_EQ(Labels::Of({{"foo", "bar"}}).ToString(), R"({"foo":"bar"})");
  EXPECT_EQ(Labels::Of({{"foo", "bar"}, {"baz", "bat"}}).ToString(),
            R"({"baz":"bat", "foo":"bar"})");
  EXPECT_EQ(Labels::Of({{"foo", "bar\nbaz"}}).ToString(), R"({"foo":"bar\nbaz"})");
  EXPECT_EQ(Labels::Of({{"q\"", "\\\t\x01\x7F"}}).ToString(), R"({"q\"":"\\\t\x01\x7f"})");
  EXPECT_EQ(Labels::Of({{"esc", "\x1B[31m\xC2\x9B"}}).ToString(), R"({"esc":"\x1b[31m\u009b"})");
  EXPECT_EQ(Labels::Of({{"ключ", "値"}}).ToString(), R"({"ключ":"値"})");
}

TEST_F(LabelSetTest, NulAndEmptyAreText) {
  const std::string with_nul("a\0b", 3);
  EXPECT_EQ(Labels::Of({{"k", with_nul}}).Get("k"), with_nul);
  EXPECT_EQ(Labels::Of({{"k", with_nul}}).ToString(), R"({"k":"a\x00b"})");
  EXPECT_THAT(Labels::Of({{"", ""}}), ElementsAre(Label{"", ""}));
}

// Malformed input after the examples of the Unicode standard, table 3-8 and around.
TEST_F(LabelSetTest, InvalidUtf8IsRepaired) {
  constexpr char kBad[] = "\xEF\xBF\xBD";
  const std::string bad = kBad;
  const std::pair<std::string, std::string> cases[] = {
      {"\xFF", bad},
      {"a\x80z", "a" + bad + "z"},
      {"\xC0\xAF", bad + bad},                      // overlong
      {"\xE0\x9F\xBF", bad + bad + bad},            // overlong
      {"\xED\xA0\x80", bad + bad + bad},            // surrogate
      {"\xF4\x90\x80\x80", bad + bad + bad + bad},  // beyond U+10FFFF
      {"\xF5z", bad + "z"},
      {"\xE2\x82", bad + bad},  // cut short
      {"\xE2\x82\xAC", "\xE2\x82\xAC"},
      {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
      {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
  };
  for (const auto& [in, out] : cases) {
    EXPECT_THAT(Labels::Of({{"k", in}}), ElementsAre(Label{"k", out}));
    EXPECT_THAT(Labels::Of({{in, "v"}}), ElementsAre(Label{out, "v"}));
  }
  // Keys that are equal once repaired are equal.
  EXPECT_THAT(Labels::Of({{"\xFF", "first"}, {"\xFE", "last"}}), ElementsAre(Label{bad, "last"}));
}

TEST_F(LabelSetTest, LargeSets) {
  std::vector<std::string> texts;
  for (int i = 0; i < 1000; ++i) texts.push_back(std::to_string(i * 7919 % 1000));
  std::vector<Label> pairs;
  for (const std::string& text : texts) pairs.push_back({text, text});
  const Labels labels = Labels::Of(pairs);
  EXPECT_EQ(labels.size(), 1000u);
  EXPECT_EQ(labels.Get("777"), "777");
  for (size_t i = 1; i < labels.size(); ++i) {
    EXPECT_LT(labels.pairs()[i - 1].key, labels.pairs()[i].key);
  }
}

// Threads find, make and let die the same few sets, so that lookups meet sets whose last reference
// has just gone. What each holds must be intact, and in the end nothing may be left.
TEST_F(LabelSetTest, InterningRace) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 20'000;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&wrong, t] {
      for (int i = 0; i < kRounds; ++i) {
        const std::string value = std::to_string((i + t) % 3);
        const Labels labels = Labels::Of({{"value", value}});
        const Labels more = labels.With({{"more", "x"}});
        if (labels.Get("value") != value || more.Get("value") != value) ++wrong;
        if (Labels::Of({{"value", value}}) != labels) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace curg
