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

// `name` in at most `width` columns: template arguments become "<...>", the longest first; if that
// is not enough, the middle becomes "..." and the end, where the function's own name is, stays.
std::string ShortenName(std::string_view name, size_t width);

}  // namespace curg::internal
