// SPDX-License-Identifier: Apache-2.0
#include "examples/wordcount/tokenize.h"

#include <map>
#include <string>

#include "examples/wordcount/report.h"
#include "examples/wordcount/walk.h"
#include "gtest/gtest.h"

namespace wordcount {
namespace {

using Counts = std::map<std::string, int64_t>;

Counts Count(std::string text) {
  WordMap words;
  EXPECT_EQ(CountWords(text.data(), text.size(), /*at_end=*/true, words), text.size());
  return {words.begin(), words.end()};
}

TEST(CountWords, RunsOfLettersDigitsAndUnderscores) {
  EXPECT_EQ(Count(""), Counts{});
  EXPECT_EQ(Count(" \t\n.,;-'\""), Counts{});
  EXPECT_EQ(Count("a"), (Counts{{"a", 1}}));
  EXPECT_EQ(Count("int32_t x=0x1F; // don't"),
            (Counts{{"int32_t", 1}, {"x", 1}, {"0x1f", 1}, {"don", 1}, {"t", 1}}));
}

TEST(CountWords, FoldsTheCaseOfAscii) { EXPECT_EQ(Count("The THE the tHe"), (Counts{{"the", 4}})); }

TEST(CountWords, CarriageReturnsSeparate) {
  EXPECT_EQ(Count("one\r\ntwo\r\none"), (Counts{{"one", 2}, {"two", 1}}));
}

TEST(CountWords, LettersBeyondAscii) {
  EXPECT_EQ(
      Count("na\u00efve \u0421\u043b\u043e\u0432\u043e \u6f22\u5b57"),
      (Counts{{"na\u00efve", 1}, {"\u0421\u043b\u043e\u0432\u043e", 1}, {"\u6f22\u5b57", 1}}));
}

TEST(CountWords, PunctuationBeyondAsciiSeparates) {
  EXPECT_EQ(Count("\ufeffone\u2014two \u201cthree\u201d \u00a9 5\u00d76"),
            (Counts{{"one", 1}, {"two", 1}, {"three", 1}, {"5", 1}, {"6", 1}}));
}

TEST(CountWords, InvalidUtf8Separates) {
  EXPECT_EQ(Count("caf\xe9 bar"), (Counts{{"caf", 1}, {"bar", 1}}));  // Latin-1
  EXPECT_EQ(Count("a\xc0\xaf"
                  "b"),
            (Counts{{"a", 1}, {"b", 1}}));  // overlong
  EXPECT_EQ(Count("a\xed\xa0\x80"
                  "b"),
            (Counts{{"a", 1}, {"b", 1}}));  // a surrogate
  EXPECT_EQ(Count("a\xf4\x90\x80\x80"
                  "b"),
            (Counts{{"a", 1}, {"b", 1}}));                // too large
  EXPECT_EQ(Count("end\xe2\x82"), (Counts{{"end", 1}}));  // cut off
}

// Whatever the place at which a text is cut in two, the words are the same.
TEST(CountWords, GoesOnInTheNextPart) {
  const std::string text = "alpha be\u0301ta \u6f22\u5b57 \u2014gamma alpha";
  const Counts expected = Count(text);
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    WordMap words;
    std::string first = text.substr(0, cut);
    const size_t done = CountWords(first.data(), first.size(), /*at_end=*/false, words);
    ASSERT_LE(done, cut);
    std::string second = first.substr(done) + text.substr(cut);
    EXPECT_EQ(CountWords(second.data(), second.size(), /*at_end=*/true, words), second.size());
    EXPECT_EQ(Counts(words.begin(), words.end()), expected) << "cut at " << cut;
  }
}

TEST(Extension, IsFewAndPlain) {
  EXPECT_EQ(Extension("/a/b.txt"), "txt");
  EXPECT_EQ(Extension("/a/b.tar.GZ"), "gz");
  EXPECT_EQ(Extension("b.c++"), "c++");
  EXPECT_EQ(Extension("/a.d/README"), "<none>");
  EXPECT_EQ(Extension("/a/.profile"), "<none>");
  EXPECT_EQ(Extension("/a/b."), "<none>");
  EXPECT_EQ(Extension("/a/b.this is none"), "<none>");
  EXPECT_EQ(Extension("/a/b.averyverylongone"), "<none>");
}

TEST(ShellQuote, QuotesWhatAShellWouldChange) {
  EXPECT_EQ(ShellQuote("/a/cpu-1.pb.gz"), "/a/cpu-1.pb.gz");
  EXPECT_EQ(ShellQuote("my file"), "'my file'");
  EXPECT_EQ(ShellQuote("it's"), "'it'\\''s'");
  EXPECT_EQ(ShellQuote("$(x)"), "'$(x)'");
  EXPECT_EQ(ShellQuote(""), "''");
}

}  // namespace
}  // namespace wordcount
