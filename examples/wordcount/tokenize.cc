// SPDX-License-Identifier: Apache-2.0
#include "examples/wordcount/tokenize.h"

#include <array>

#include "absl/strings/string_view.h"

namespace wordcount {
namespace {

// What each byte becomes in a word: itself, or the small letter; 0: it separates words or, from
// 0x80 on, needs a closer look.
constexpr std::array<char, 256> kInWord = [] {
  std::array<char, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = static_cast<char>(c);
  for (int c = 'a'; c <= 'z'; ++c) table[c] = static_cast<char>(c);
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = static_cast<char>(c - 'A' + 'a');
  table['_'] = '_';
  return table;
}();

// Whether a code point from U+0080 on belongs to words. A short list, not Unicode's whole tables.
bool IsLetter(uint32_t point) {
  if (point < 0xC0) return point == 0xAA || point == 0xB5 || point == 0xBA;
  if (point == 0xD7 || point == 0xF7) return false;      // multiplication, division
  if (point >= 0x2000 && point <= 0x206F) return false;  // spaces, dashes, quotation marks
  if (point >= 0x2190 && point <= 0x2BFF) return false;  // arrows, mathematics, boxes, symbols
  if (point >= 0x3000 && point <= 0x303F) return false;  // East Asian punctuation
  return point != 0xFEFF && point != 0xFFFD;             // byte order mark, replacement
}

// The character of text[0, size), which begins with a byte from 0x80 on. Its length is 1 if it is
// no UTF-8, and 0 if the text ends within it.
struct Character {
  size_t length;
  bool letter;
};
Character WideCharacter(const char* text, size_t size) {
  constexpr Character kInvalid = {1, false};
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0xC2 || lead > 0xF4) return kInvalid;
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  uint32_t point = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if (i == size) return {0, false};
    if ((byte(i) & 0xC0) != 0x80) return kInvalid;
    point = point << 6 | (byte(i) & 0x3Fu);
  }
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  if (overlong || surrogate || point > 0x10FFFF) return kInvalid;
  return {length, IsLetter(point)};
}

// noinline: profiles then show hashing apart from cutting.
[[gnu::noinline]] void AddWord(absl::string_view word, WordMap& words) {
  ++words.try_emplace(word, 0).first->second;
}

}  // namespace

size_t CountWords(char* text, size_t size, bool at_end, WordMap& words) {
  size_t begin = 0;  // of the word that ends at `i`; there is none when they are equal
  size_t i = 0;
  while (i < size) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (const char lower = kInWord[byte]; lower != 0) {
      text[i++] = lower;
      continue;
    }
    Character character = {1, false};
    if (byte >= 0x80) character = WideCharacter(text + i, size - i);
    if (character.length == 0) {
      if (!at_end) return begin;
      character.length = 1;  // cut off for good
    }
    if (character.letter) {
      i += character.length;
      continue;
    }
    if (i > begin) AddWord({text + begin, i - begin}, words);
    i += character.length;
    begin = i;
  }
  if (i > begin && at_end) {
    AddWord({text + begin, i - begin}, words);
    begin = i;
  }
  return begin;
}

}  // namespace wordcount
