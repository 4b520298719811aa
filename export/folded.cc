// SPDX-License-Identifier: Apache-2.0
#include "export/folded.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "export/profile.pb.h"
#include "export/profile_builder.h"

namespace curg {
namespace {

namespace pb = ::perftools::profiles;

const std::string& Text(const pb::Profile& profile, int64_t index) {
  static const std::string none;
  return index >= 0 && index < profile.string_table_size()
             ? profile.string_table(static_cast<int>(index))
             : none;
}

void AppendFrame(std::string_view name, std::string& line) {
  if (!line.empty()) line.push_back(';');
  for (const char c : name) line.push_back(c == ';' ? ':' : c == '\n' || c == '\r' ? ' ' : c);
}

// A location as part of a line: its functions, the outermost first.
std::string FoldedLocation(const pb::Profile& profile, const pb::Location& location,
                           const absl::flat_hash_map<uint64_t, const pb::Function*>& functions) {
  std::string part;
  for (int i = location.line_size() - 1; i >= 0; --i) {
    const auto function = functions.find(location.line(i).function_id());
    if (function != functions.end()) AppendFrame(Text(profile, function->second->name()), part);
  }
  return part.empty() ? absl::StrCat("0x", absl::Hex(location.address())) : part;
}

std::string Render(const absl::flat_hash_map<std::string, int64_t>& stacks, int64_t unit) {
  std::vector<std::pair<std::string, int64_t>> sorted(stacks.begin(), stacks.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return std::tie(b.second, a.first) < std::tie(a.second, b.first);
  });
  std::string text;
  for (const auto& [stack, value] : sorted) {
    if (value != 0) absl::StrAppend(&text, stack, " ", value / unit, "\n");
  }
  return text;
}

std::string Fold(const pb::Profile& profile, int type, int64_t unit) {
  absl::flat_hash_map<uint64_t, const pb::Function*> functions;
  for (const pb::Function& function : profile.function()) functions[function.id()] = &function;
  absl::flat_hash_map<uint64_t, std::string> locations;
  for (const pb::Location& location : profile.location()) {
    locations[location.id()] = FoldedLocation(profile, location, functions);
  }
  absl::flat_hash_map<std::string, int64_t> stacks;
  for (const pb::Sample& sample : profile.sample()) {
    if (type >= sample.value_size()) continue;
    std::string line;
    for (int i = sample.location_id_size() - 1; i >= 0; --i) {
      const auto location = locations.find(sample.location_id(i));
      if (location == locations.end()) continue;
      absl::StrAppend(&line, line.empty() ? "" : ";", location->second);
    }
    stacks[line] += sample.value(type);
  }
  return Render(stacks, unit);
}

}  // namespace

std::string FoldedStacks(const pb::Profile& profile, int type) { return Fold(profile, type, 1); }

std::string FoldedStacks(const CpuProfile& profile, FrameSource& frames) {
  return Fold(BuildProfile(profile, frames), 1, std::max<int64_t>(profile.period_ns, 1));
}

}  // namespace curg
