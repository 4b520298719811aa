// SPDX-License-Identifier: Apache-2.0
//
// Names as people read them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace curg::internal {

// A linkage name as source code would spell it, parameters and all; the name itself when it is not
// mangled. Not async-signal-safe. Thread-safe.
std::string Demangle(std::string_view linkage_name);

// A demangled name without return type, parameter list, cv- and ref-qualifiers and compiler-made
// suffixes ("[clone .cold]"): "void ns::F<int>(int) const" is "ns::F<int>". Template arguments
// stay, since they tell instantiations apart. A name it does not understand comes back whole.
std::string SimplifyName(std::string_view demangled);

// `name` with template arguments replaced by "<...>", and those of enclosing functions by "(...)",
// the longest first, until it fits into `width` columns or there are none left.
std::string ElideArguments(std::string_view name, size_t width);

// How a function is called in profiles: demangled, simplified, and with long arguments elided,
// since those of a hash map's functions alone fill a page. Nothing but arguments is cut.
inline constexpr size_t kReadableColumns = 100;
std::string ReadableName(std::string_view linkage_name);

// ElideArguments; if that is not enough, the middle becomes "..." and the end, where the function's
// own name is, stays: at most `width` columns in any case.
std::string ShortenName(std::string_view name, size_t width);

}  // namespace curg::internal
