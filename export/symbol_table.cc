// SPDX-License-Identifier: Apache-2.0
#include "export/symbol_table.h"

#include <gelf.h>

#include <algorithm>

namespace curg::internal {
namespace {

Elf_Scn* FindSymbols(Elf* elf, GElf_Word type) {
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) != nullptr && header.sh_type == type) return section;
  }
  return nullptr;
}

// Where the section with this index ends, and whether it holds code.
bool IsCode(Elf* elf, size_t index, uint64_t& end) {
  GElf_Shdr header;
  Elf_Scn* section = elf_getscn(elf, index);
  if (section == nullptr || gelf_getshdr(section, &header) == nullptr) return false;
  end = header.sh_addr + header.sh_size;
  return (header.sh_flags & SHF_EXECINSTR) != 0;
}

// How well callers know a symbol, of those at the same place. (Weak or not is no difference: read
// is global, open is weak.)
uint32_t RankOf(const GElf_Sym& symbol, std::string_view name) {
  constexpr uint32_t kPublic = 1U << 24;
  constexpr uint32_t kCurrent = 1U << 23;
  uint32_t rank = GELF_ST_BIND(symbol.st_info) == STB_LOCAL ? 0 : kPublic;
  const size_t version = name.find('@');
  if (version == name.npos || name.substr(version).starts_with("@@")) rank += kCurrent;
  const size_t underscores = std::min(name.find_first_not_of('_'), name.size());
  rank += (0x7F - static_cast<uint32_t>(std::min<size_t>(underscores, 0x7F))) << 16;
  return rank + 0xFFFF - static_cast<uint32_t>(std::min<size_t>(name.size(), 0xFFFF));
}

std::string_view WithoutVersion(std::string_view name) { return name.substr(0, name.find('@')); }

}  // namespace

SymbolTable::SymbolTable(Elf* elf) {
  for (GElf_Word type : {SHT_SYMTAB, SHT_DYNSYM}) {
    if (Elf_Scn* section = FindSymbols(elf, type)) Read(elf, section);
    if (!symbols_.empty()) break;
  }
  Index();
}

void SymbolTable::Read(Elf* elf, Elf_Scn* section) {
  GElf_Shdr header;
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || gelf_getshdr(section, &header) == nullptr || header.sh_entsize == 0)
    return;
  const size_t count = header.sh_size / header.sh_entsize;
  for (size_t i = 0; i < count; ++i) {
    GElf_Sym symbol;
    if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) return;
    const int type = GELF_ST_TYPE(symbol.st_info);
    if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) continue;
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_value == 0) continue;
    uint64_t section_end = 0;
    if (!IsCode(elf, symbol.st_shndx, section_end)) continue;
    const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
    if (name == nullptr || *name == '\0' || *name == '$' || (name[0] == '.' && name[1] == 'L')) {
      continue;  // marks within a function
    }
    symbols_.push_back({symbol.st_value, symbol.st_size, section_end, name, RankOf(symbol, name)});
  }
}

void SymbolTable::Index() {
  std::stable_sort(symbols_.begin(), symbols_.end(),
                   [](const Symbol& a, const Symbol& b) { return a.begin < b.begin; });
  uint64_t next = UINT64_MAX;  // where the next symbol begins
  for (size_t i = symbols_.size(); i-- > 0;) {
    const Symbol& symbol = symbols_[i];
    if (i + 1 < symbols_.size() && symbols_[i + 1].begin > symbol.begin) {
      next = symbols_[i + 1].begin;
    }
    const uint64_t end =
        symbol.size != 0 ? symbol.begin + symbol.size : std::min(next, symbol.section_end);
    (symbol.size != 0 ? sized_ : unsized_)
        .Add(symbol.begin, end, static_cast<uint32_t>(i), symbol.rank);
  }
  sized_.Build();
  unsized_.Build();
}

uint32_t SymbolTable::IndexOf(uint64_t address) const {
  const uint32_t found = sized_.Find(address);
  return found != IntervalIndex::kNone ? found : unsized_.Find(address);
}

std::string_view SymbolTable::Find(uint64_t address) const {
  const uint32_t found = IndexOf(address);
  return found == IntervalIndex::kNone ? std::string_view() : WithoutVersion(symbols_[found].name);
}

std::string_view SymbolTable::PublicAlias(uint64_t address, std::string_view name) const {
  const uint32_t found = IndexOf(address);
  if (found == IntervalIndex::kNone) return {};
  const auto is_before = [](const Symbol& symbol, uint64_t begin) { return symbol.begin < begin; };
  const uint64_t begin = symbols_[found].begin;
  for (auto it = std::lower_bound(symbols_.begin(), symbols_.end(), begin, is_before);
       it != symbols_.end() && it->begin == begin; ++it) {
    if (WithoutVersion(it->name) == name) return WithoutVersion(symbols_[found].name);
  }
  return {};
}

}  // namespace curg::internal
