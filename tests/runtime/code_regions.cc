// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/code_regions.h"

#include <dlfcn.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/str_format.h"
#include "runtime/check.h"
#include "runtime/unwind_index.h"

namespace curg::internal {
namespace {

struct Known {
  std::string_view name;
  std::string_view file;  // part of its path in /proc/self/maps; empty: not by file
};

constexpr Known kKnown[CodeRegions::kCount] = {
    {"switch", "libboost_context"},
    {"libgcc", "libgcc_s.so"},
    {"libc", "libc.so"},
    {"libm", "libm.so"},
    {"libstdc++", "libstdc++.so"},
    {"libz", "libz.so"},
    {"libcrypto", "libcrypto.so"},
    {"ld.so", "ld-linux"},
    {"vdso", "[vdso]"},
    {"PLT", ""},
    {"program", ""},
};
constexpr size_t kPlt = 9;
constexpr size_t kProgram = 10;

}  // namespace

CodeRegions::CodeRegions() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    char access[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, access) != 3) continue;
    if (access[2] != 'x') continue;
    for (size_t i = 0; i < kPlt; ++i) {
      if (line.find(kKnown[i].file) != std::string::npos) ranges_.push_back({begin, end, i});
    }
  }
  CURG_CHECK(!ranges_.empty(), "this needs /proc");
}

size_t CodeRegions::Of(uintptr_t pc) const {
  UnwindReader reader(ProcessUnwindIndex());
  if (reader.Find(pc).word.kind() == UnwindWord::Kind::kPlt) return kPlt;
  for (const Range& range : ranges_) {
    if (pc >= range.begin && pc < range.end) return range.region;
  }
  return kProgram;
}

std::string_view CodeRegions::Name(size_t region) { return kKnown[region].name; }

std::string DescribeAddress(uintptr_t pc) {
  Dl_info info{};
  dladdr(reinterpret_cast<void*>(pc), &info);
  return absl::StrFormat("%#x near %s in %s", pc, info.dli_sname == nullptr ? "?" : info.dli_sname,
                         info.dli_fname == nullptr ? "?" : info.dli_fname);
}

}  // namespace curg::internal
