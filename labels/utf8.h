// SPDX-License-Identifier: Apache-2.0
//
// The little that labels and their printers must know of UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace curg::internal {

// Bytes of the well-formed code point that `text` begins with (1 to 4); 0 when it begins with none:
// stray or missing continuation bytes, overlong forms, surrogates, beyond U+10FFFF. 0 when empty.
size_t Utf8Length(std::string_view text);

// True when all of `text` is well-formed. Embedded NULs are.
bool IsValidUtf8(std::string_view text);

// `text` with each byte that belongs to no well-formed code point replaced by U+FFFD.
std::string RepairUtf8(std::string_view text);

// `text` in double quotes, with quotes, backslashes and control characters (C0, DEL and C1, so that
// a value cannot drive a terminal) escaped as in a C or Go literal. Requires: valid UTF-8.
std::string QuoteUtf8(std::string_view text);

}  // namespace curg::internal
