// SPDX-License-Identifier: Apache-2.0
#include "export/dwarf_index.h"

#include <dwarf.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "export/demangle.h"

namespace curg::internal {
namespace {

constexpr int kDepthMax = 16;  // of references between entries, and of functions within functions

// Calls fn(begin, end) for each address range of `die`. Ranges at address 0 are of functions that
// the linker removed.
template <typename Fn>
void ForEachRange(Dwarf_Die* die, Fn fn) {
  Dwarf_Addr base = 0, begin = 0, end = 0;
  for (ptrdiff_t at = 0; (at = dwarf_ranges(die, at, &base, &begin, &end)) > 0;) {
    if (begin != 0 && begin < end) fn(begin, end);
  }
}

// Follows one reference from a concrete function towards its declaration.
bool FollowOrigin(Dwarf_Die* die, Dwarf_Die* origin) {
  Dwarf_Attribute attribute;
  for (unsigned int name : {DW_AT_abstract_origin, DW_AT_specification}) {
    if (dwarf_attr(die, name, &attribute) != nullptr &&
        dwarf_formref_die(&attribute, origin) != nullptr) {
      return true;
    }
  }
  return false;
}

const char* LinkageName(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  for (unsigned int name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (dwarf_attr_integrate(die, name, &attribute) != nullptr) {
      return dwarf_formstring(&attribute);
    }
  }
  return nullptr;
}

bool IsCPlusPlus(Dwarf_Die* unit) {
  switch (dwarf_srclang(unit)) {
    case DW_LANG_C_plus_plus:
    case DW_LANG_C_plus_plus_03:
    case DW_LANG_C_plus_plus_11:
    case DW_LANG_C_plus_plus_14:
    case 0x2b:  // C++17; elfutils has no names for these two yet
    case 0x2c:  // C++20
      return true;
    default:
      return false;
  }
}

// True for a lambda's closure: gcc leaves it without a name, but not its call operator, which is
// marked as made by the compiler.
bool IsClosure(Dwarf_Die* type) {
  Dwarf_Die child;
  if (dwarf_child(type, &child) != 0) return false;
  do {
    const char* name = dwarf_diename(&child);
    if (dwarf_tag(&child) == DW_TAG_subprogram && name != nullptr &&
        std::string_view(name) == "operator()" && dwarf_hasattr(&child, DW_AT_artificial) != 0) {
      return true;
    }
  } while (dwarf_siblingof(&child, &child) == 0);
  return false;
}

// What an entry is called in a qualified name; gcc's "<lambda(int)>" would look like template
// arguments.
std::string ScopeName(Dwarf_Die* die) {
  const char* name = dwarf_diename(die);
  if (name == nullptr) {
    if (dwarf_tag(die) == DW_TAG_namespace) return "(anonymous namespace)";
    return IsClosure(die) ? "{lambda}" : "{unnamed type}";
  }
  const std::string_view text = name;
  if (text.starts_with("<lambda") && text.ends_with('>')) {
    return absl::StrCat("{", absl::string_view(name + 1, text.size() - 2), "}");
  }
  return name;
}

int UnsignedAttribute(Dwarf_Die* die, unsigned int name) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (dwarf_attr(die, name, &attribute) == nullptr || dwarf_formudata(&attribute, &value) != 0) {
    return 0;
  }
  return static_cast<int>(value);
}

}  // namespace

DwarfUnit::DwarfUnit(Dwarf_Die unit, Dwarf_Die body)
    : unit_(unit), is_cplusplus_(IsCPlusPlus(&body)) {
  WalkChildren(&body, kNoNode, kTopScope);
  index_.Build();
}

void DwarfUnit::WalkChildren(Dwarf_Die* die, uint32_t node, uint32_t scope) {
  Dwarf_Die child;
  if (dwarf_child(die, &child) != 0) return;
  do {
    Visit(&child, node, scope);
  } while (dwarf_siblingof(&child, &child) == 0);
}

void DwarfUnit::Visit(Dwarf_Die* die, uint32_t node, uint32_t scope) {
  switch (dwarf_tag(die)) {
    case DW_TAG_subprogram:
      if (scope != kTopScope) scope_of_.emplace(die->addr, scope);
      WalkChildren(die, AddNode(die, kNoNode), AddScope(die, scope));
      break;
    case DW_TAG_inlined_subroutine:
      WalkChildren(die, AddNode(die, node), scope);
      break;
    case DW_TAG_lexical_block:
    case DW_TAG_try_block:
    case DW_TAG_catch_block:
      WalkChildren(die, node, scope);
      break;
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_interface_type:
      WalkChildren(die, kNoNode, AddScope(die, scope));
      break;
    default:
      break;
  }
}

// A node without code of its own (removed, or only declared) is none; its children keep `parent`.
uint32_t DwarfUnit::AddNode(Dwarf_Die* die, uint32_t parent) {
  const uint32_t node = static_cast<uint32_t>(nodes_.size());
  const uint32_t rank = node;  // of two with the same range, the inner one is visited later
  bool has_code = false;
  ForEachRange(die, [&](uint64_t begin, uint64_t end) {
    index_.Add(begin, end, node, rank);
    has_code = true;
  });
  if (!has_code) return parent;
  nodes_.push_back({*die, parent, dwarf_tag(die) == DW_TAG_inlined_subroutine});
  return node;
}

uint32_t DwarfUnit::AddScope(Dwarf_Die* die, uint32_t scope) {
  scopes_.push_back({*die, scope});
  return static_cast<uint32_t>(scopes_.size() - 1);
}

std::vector<Frame> DwarfUnit::Find(uint64_t address) {
  std::vector<Frame> frames;
  Frame frame;
  if (Dwarf_Line* line = dwarf_getsrc_die(&unit_, address); line != nullptr) {
    const char* file = dwarf_linesrc(line, nullptr, nullptr);
    if (file != nullptr) frame.file = CleanPathOf(file);
    dwarf_lineno(line, &frame.line);
  }
  uint32_t at = index_.Find(address);
  if (at == IntervalIndex::kNone) {
    if (!frame.file.empty()) frames.push_back(std::move(frame));
    return frames;
  }
  for (; at != kNoNode; at = nodes_[at].parent) {
    Node& node = nodes_[at];
    SetNames(&node.die, frame);
    frame.inlined = node.inlined && node.parent != kNoNode;
    frames.push_back(std::exchange(frame, Frame{}));
    if (!node.inlined) break;
    frame.file = CallFile(&node.die);
    frame.line = UnsignedAttribute(&node.die, DW_AT_call_line);
  }
  return frames;
}

std::string DwarfUnit::CallFile(Dwarf_Die* die) {
  Dwarf_Files* files = nullptr;
  size_t count = 0;
  const int index = UnsignedAttribute(die, DW_AT_call_file);
  if (dwarf_getsrcfiles(&unit_, &files, &count) != 0 || static_cast<size_t>(index) >= count) {
    return "";
  }
  const char* file = dwarf_filesrc(files, static_cast<size_t>(index), nullptr, nullptr);
  return file == nullptr ? "" : CleanPathOf(file);
}

const std::string& DwarfUnit::ReadableNameOf(const char* linkage_name) {
  const auto [found, is_new] = readable_names_.try_emplace(linkage_name);
  if (is_new) found->second = ReadableName(linkage_name);
  return found->second;
}

const std::string& DwarfUnit::CleanPathOf(const char* path) {
  const auto [found, is_new] = clean_paths_.try_emplace(path);
  if (is_new) found->second = CleanPath(path);
  return found->second;
}

void DwarfUnit::SetNames(Dwarf_Die* die, Frame& frame) {
  dwarf_decl_line(die, &frame.start_line);
  if (const char* linkage_name = LinkageName(die); linkage_name != nullptr) {
    frame.system_name = linkage_name;
    frame.function = ReadableNameOf(linkage_name);
    return;
  }
  frame.function = ElideArguments(QualifiedName(die, 0), kReadableColumns);
  // C has no other names; for C++ the linker's is not known here.
  if (!is_cplusplus_) frame.system_name = frame.function;
}

std::string DwarfUnit::QualifiedName(Dwarf_Die* die, int depth) {
  if (depth > kDepthMax) return "";
  // The scope is where the function was first declared.
  uint32_t scope = kTopScope;
  Dwarf_Die at = *die;
  for (int i = 0; i < kDepthMax; ++i) {
    if (auto it = scope_of_.find(at.addr); it != scope_of_.end()) scope = it->second;
    Dwarf_Die origin;
    if (!FollowOrigin(&at, &origin)) break;
    at = origin;
  }
  const char* name = dwarf_diename(die);
  if (name == nullptr) return "";
  return absl::StrCat(ScopePrefix(scope, depth + 1), name);
}

std::string DwarfUnit::ScopePrefix(uint32_t scope, int depth) {
  if (scope == kTopScope || depth > kDepthMax) return "";
  Scope& in = scopes_[scope];
  if (dwarf_tag(&in.die) == DW_TAG_subprogram) {
    return absl::StrCat(QualifiedName(&in.die, depth + 1), "::");
  }
  return absl::StrCat(ScopePrefix(in.parent, depth + 1), ScopeName(&in.die), "::");
}

DwarfIndex::DwarfIndex(Dwarf* dwarf) {
  Dwarf_CU* cu = nullptr;
  uint8_t type = 0;
  Unit unit;
  while (dwarf_get_units(dwarf, cu, &cu, nullptr, &type, &unit.unit, &unit.body) == 0) {
    if (type != DW_UT_compile && type != DW_UT_skeleton) continue;
    if (type == DW_UT_compile || unit.body.addr == nullptr) unit.body = unit.unit;
    const uint32_t number = static_cast<uint32_t>(units_.size());
    bool has_code = false;
    ForEachRange(&unit.unit, [&](uint64_t begin, uint64_t end) {
      index_.Add(begin, end, number, 0);
      has_code = true;
    });
    if (has_code) units_.push_back({unit.unit, unit.body, nullptr});
  }
  index_.Build();
}

std::vector<Frame> DwarfIndex::Find(uint64_t address) {
  const uint32_t found = index_.Find(address);
  if (found == IntervalIndex::kNone) return {};
  Unit& unit = units_[found];
  if (unit.functions == nullptr) {
    unit.functions = std::make_unique<DwarfUnit>(unit.unit, unit.body);
  }
  return unit.functions->Find(address);
}

std::string CleanPath(std::string_view path) {
  constexpr std::string_view kBazelDirectory = "/proc/self/cwd/";
  std::string clean = std::filesystem::path(path).lexically_normal().string();
  if (clean.starts_with(kBazelDirectory)) clean.erase(0, kBazelDirectory.size());
  return clean;
}

}  // namespace curg::internal
