// SPDX-License-Identifier: Apache-2.0
//
// Words: what a text is cut into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"

namespace wordcount {

using WordMap = absl::flat_hash_map<std::string, int64_t>;

// Counts the words of text[0, size): runs of letters, digits, '_' and the letters UTF-8 has beyond
// ASCII; ASCII letters count as lower case (the text is changed to it in place). Bytes that are no
// UTF-8 separate words. Returns how many bytes it is done with; unless `at_end`, the rest is a word
// or character that may go on in what follows, and is to be passed again in front of that.
size_t CountWords(char* text, size_t size, bool at_end, WordMap& words);

}  // namespace wordcount
