// SPDX-License-Identifier: Apache-2.0
//
// SymbolTable: the functions an ELF file names itself, for code without debug information.
#pragma once

#include <libelf.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "export/interval_index.h"

namespace curg::internal {

// Thread-compatible.
class SymbolTable {
 public:
  // Reads .symtab, or .dynsym where that is missing. `elf` must outlive the table.
  explicit SymbolTable(Elf* elf);

  bool empty() const { return symbols_.empty(); }

  // The name of the symbol around an address of the file, without a version ("@@GLIBC_2.2.5"). Of
  // several, the one that callers know: visible to other modules, not of a former version, with the
  // fewest leading underscores, the shortest. Empty when there is none. Valid while `elf` is.
  std::string_view Find(uint64_t address) const;

  // Find, if a symbol called `name` begins at the same place; otherwise empty.
  std::string_view PublicAlias(uint64_t address, std::string_view name) const;

 private:
  struct Symbol {
    uint64_t begin;
    uint64_t size;  // 0: up to the next one
    uint64_t section_end;
    const char* name;
    uint32_t rank;
  };

  void Read(Elf* elf, Elf_Scn* section);
  void Index();
  uint32_t IndexOf(uint64_t address) const;

  std::vector<Symbol> symbols_;
  IntervalIndex sized_;
  IntervalIndex unsized_;  // asked only where no symbol with a size is: these may be mere marks
};

}  // namespace curg::internal
