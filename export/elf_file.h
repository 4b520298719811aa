// SPDX-License-Identifier: Apache-2.0
//
// ElfFile: a program, shared object or debug file, opened to be read, and where debug files are.
#pragma once

#include <gelf.h>
#include <libelf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct Dwarf;

namespace curg::internal {

// Nothing here ever downloads: of elfutils it uses libelf and libdw's readers of one file, not the
// finders of libdwfl, which ask the servers that DEBUGINFOD_URLS names.
// Thread-compatible.
class ElfFile {
 public:
  // Null when there is no such file, it cannot be read, or it is no ELF file.
  static std::unique_ptr<ElfFile> Open(const std::string& path);
  // The image of an ELF file in this process's memory (the vdso), which must outlive the object.
  static std::unique_ptr<ElfFile> FromMemory(const void* image, size_t size);
  ~ElfFile();

  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  Elf* elf() const { return elf_; }

  // Lower-case hexadecimal; empty when it has none.
  std::string BuildId() const;

  bool HasSection(std::string_view name) const;

  // Where a section with content lies in memory: addresses of the file, [begin, end). Empty ranges
  // when there is none.
  struct Range {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  Range SectionRange(std::string_view name) const;

  // Its debug information, read in on the first call; null when it has none.
  Dwarf* dwarf();

 private:
  ElfFile(int fd, Elf* elf) : fd_(fd), elf_(elf) {}
  bool FindSection(std::string_view name, GElf_Shdr& header) const;

  const int fd_;  // -1: none
  Elf* const elf_;
  Dwarf* dwarf_ = nullptr;
  bool dwarf_tried_ = false;
};

// The file with the debug information that was split off `stripped`, which lies at `path`: under
// .build-id below one of the roots, or by .gnu_debuglink beside it, in .debug beside it, and below
// the roots. Only a file of the same build is taken (build id, else checksum). Null: none.
std::unique_ptr<ElfFile> FindDebugFile(const ElfFile& stripped, const std::string& path,
                                       const std::vector<std::string>& roots);

}  // namespace curg::internal
