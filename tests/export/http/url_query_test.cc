// SPDX-License-Identifier: Apache-2.0
#include "export/http/url_query.h"

#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace curg {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(UrlQueryTest, TakesPairsApart) {
  const UrlQuery query = UrlQuery::Parse("seconds=5&debug=1&label=a%3Db&label=c+d&flag");
  EXPECT_EQ(query.Get("seconds"), "5");
  EXPECT_EQ(query.GetInt("seconds"), 5);
  EXPECT_THAT(query.All("label"), ElementsAre("a=b", "c d"));
  EXPECT_TRUE(query.Has("flag"));
  EXPECT_EQ(query.Get("flag"), "");
  EXPECT_FALSE(query.Has("Seconds"));
  EXPECT_EQ(query.Get("none"), "");
}

// What Go's url.ParseQuery keeps of them.
TEST(UrlQueryTest, LeavesOutWhatItCannotRead) {
  EXPECT_THAT(UrlQuery::Parse("").pairs(), IsEmpty());
  EXPECT_THAT(UrlQuery::Parse("&&").pairs(), IsEmpty());
  EXPECT_THAT(UrlQuery::Parse("a=1&b=%zz&c=3").pairs(),
              ElementsAre(Pair("a", "1"), Pair("c", "3")));
  EXPECT_THAT(UrlQuery::Parse("a=1&b=%4").pairs(), ElementsAre(Pair("a", "1")));
  EXPECT_THAT(UrlQuery::Parse("a=1;b=2&c=3").pairs(), ElementsAre(Pair("c", "3")));
  EXPECT_THAT(UrlQuery::Parse("a=b=c&=d").pairs(), ElementsAre(Pair("a", "b=c"), Pair("", "d")));
}

TEST(UrlQueryTest, ReadsNumbersAsGoDoes) {
  EXPECT_EQ(UrlQuery::Parse("n=%2B7").GetInt("n"), 7);
  EXPECT_EQ(UrlQuery::Parse("n=-7").GetInt("n"), -7);
  EXPECT_EQ(UrlQuery::Parse("n=9223372036854775807").GetInt("n"), INT64_MAX);
  for (const char* bad : {"n=", "n=+7", "n=7s", "n=0x7", "n=7.5", "n=9223372036854775808",
                          "n=%2B-7", "n=%2B", "m=7"}) {
    EXPECT_EQ(UrlQuery::Parse(bad).GetInt("n"), std::nullopt) << bad;
  }
}

TEST(UrlQueryTest, PlusIsASpaceOnlyInQueries) {
  EXPECT_EQ(UnescapeQuery("a+b%20c"), "a b c");
  EXPECT_EQ(UnescapePath("a+b%20c"), "a+b c");
  EXPECT_EQ(UnescapePath("%"), std::nullopt);
  EXPECT_EQ(UnescapePath("%0"), std::nullopt);
  EXPECT_EQ(UnescapePath("%00"), std::string(1, '\0'));
}

TEST(UrlQueryTest, HtmlCannotBeBrokenOutOf) {
  EXPECT_EQ(EscapeHtml("<a href='x' b=\"y\">&"), "&lt;a href=&#39;x&#39; b=&#34;y&#34;&gt;&amp;");
}

std::string Escape(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    escaped += {'%', kHex[byte >> 4], kHex[byte & 15]};
  }
  return escaped;
}

// Whatever comes in: no crash, and what was escaped comes back as it was.
TEST(UrlQueryTest, AnyBytesAreRead) {
  std::mt19937 random(1);
  static constexpr std::string_view kBytes = {"a=b&%41;+\0\xff%2", 14};
  for (int round = 0; round < 20'000; ++round) {
    std::string raw;
    for (size_t size = random() % 24; size > 0; --size) raw += kBytes[random() % kBytes.size()];
    const UrlQuery query = UrlQuery::Parse(raw);
    for (const auto& [key, value] : query.pairs()) {
      const UrlQuery again = UrlQuery::Parse(Escape(key) + "=" + Escape(value));
      ASSERT_THAT(again.pairs(), ElementsAre(Pair(key, value))) << raw;
    }
  }
}

}  // namespace
}  // namespace curg
