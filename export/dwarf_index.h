// SPDX-License-Identifier: Apache-2.0
//
// DwarfIndex: from an address to its functions, inlined ones included, and its line.
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "export/frame.h"
#include "export/interval_index.h"

namespace curg::internal {

// All functions of one compile unit, found in one walk over its entries. (libdw's own
// dwarf_getscopes walks the unit for each address: 24 ms a time on a large one.)
//
//   node       a subprogram or inlined call with code; its parent is the node it is inlined into
//   index_     address ranges -> innermost node; the chain of parents is then the inline stack
//   scope      a namespace, type or function that others are declared in; what a name is qualified
//              by where there is no linkage name (functions of internal linkage)
// Names, lines and files are read only for nodes that are asked for.
//
// Thread-compatible.
class DwarfUnit {
 public:
  // `unit` has the ranges and lines, `body` the entries; they differ where DWARF is split (.dwo).
  DwarfUnit(Dwarf_Die unit, Dwarf_Die body);

  // The frames at `address`, as FrameSource::FramesAt. Where no function is known but the line is,
  // one frame without names. The names of the last one may be empty or incomplete (no system_name)
  // when it has no linkage name: the symbol table may know better.
  std::vector<Frame> Find(uint64_t address);

 private:
  struct Node {
    Dwarf_Die die;
    uint32_t parent;
    bool inlined;
  };
  struct Scope {
    Dwarf_Die die;
    uint32_t parent;
  };
  static constexpr uint32_t kNoNode = UINT32_MAX;
  static constexpr uint32_t kTopScope = UINT32_MAX;

  void WalkChildren(Dwarf_Die* die, uint32_t node, uint32_t scope);
  void Visit(Dwarf_Die* die, uint32_t node, uint32_t scope);
  uint32_t AddNode(Dwarf_Die* die, uint32_t parent);
  uint32_t AddScope(Dwarf_Die* die, uint32_t scope);

  void SetNames(Dwarf_Die* die, Frame& frame);
  std::string QualifiedName(Dwarf_Die* die, int depth);
  std::string ScopePrefix(uint32_t scope, int depth);
  std::string CallFile(Dwarf_Die* die);
  const std::string& ReadableNameOf(const char* linkage_name);
  const std::string& CleanPathOf(const char* path);

  Dwarf_Die unit_;
  const bool is_cplusplus_;
  std::vector<Node> nodes_;
  std::vector<Scope> scopes_;
  absl::flat_hash_map<const void*, uint32_t> scope_of_;  // by a subprogram's Dwarf_Die::addr
  IntervalIndex index_;
  // What was made of texts in the file, by where those are: many frames share a function, and more
  // a file.
  absl::flat_hash_map<const char*, std::string> readable_names_;
  absl::flat_hash_map<const char*, std::string> clean_paths_;
};

// All units of one file; each is walked when the first address in it is asked for.
// Thread-compatible.
class DwarfIndex {
 public:
  // `dwarf` must outlive the index.
  explicit DwarfIndex(Dwarf* dwarf);

  // As DwarfUnit::Find; empty when no unit has the address.
  std::vector<Frame> Find(uint64_t address);

 private:
  struct Unit {
    Dwarf_Die unit;
    Dwarf_Die body;
    std::unique_ptr<DwarfUnit> functions;  // null: not walked yet
  };

  std::vector<Unit> units_;
  IntervalIndex index_;
};

// A path as it should be shown: normalised, without Bazel's "/proc/self/cwd/".
std::string CleanPath(std::string_view path);

}  // namespace curg::internal
