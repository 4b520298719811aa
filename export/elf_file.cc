// SPDX-License-Identifier: Apache-2.0
#include "export/elf_file.h"

#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <gelf.h>
#include <unistd.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "export/gzip.h"

namespace curg::internal {

std::unique_ptr<ElfFile> ElfFile::Open(const std::string& path) {
  elf_version(EV_CURRENT);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  Elf* elf = elf_begin(fd, ELF_C_READ_MMAP, nullptr);
  if (elf == nullptr || elf_kind(elf) != ELF_K_ELF) {
    elf_end(elf);
    close(fd);
    return nullptr;
  }
  return std::unique_ptr<ElfFile>(new ElfFile(fd, elf));
}

std::unique_ptr<ElfFile> ElfFile::FromMemory(const void* image, size_t size) {
  elf_version(EV_CURRENT);
  // libelf does not write to it, but its interface says that it might.
  Elf* elf = elf_memory(static_cast<char*>(const_cast<void*>(image)), size);
  if (elf == nullptr || elf_kind(elf) != ELF_K_ELF) {
    elf_end(elf);
    return nullptr;
  }
  return std::unique_ptr<ElfFile>(new ElfFile(-1, elf));
}

ElfFile::~ElfFile() {
  if (dwarf_ != nullptr) dwarf_end(dwarf_);
  elf_end(elf_);
  if (fd_ >= 0) close(fd_);
}

std::string ElfFile::BuildId() const {
  const void* bytes = nullptr;
  const ssize_t size = dwelf_elf_gnu_build_id(elf_, &bytes);
  if (size <= 0) return "";
  return absl::BytesToHexString(
      absl::string_view(static_cast<const char*>(bytes), static_cast<size_t>(size)));
}

bool ElfFile::FindSection(std::string_view name, GElf_Shdr& header) const {
  size_t names = 0;
  if (elf_getshdrstrndx(elf_, &names) != 0) return false;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf_, section)) != nullptr;) {
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
    const char* section_name = elf_strptr(elf_, names, header.sh_name);
    if (section_name != nullptr && section_name == name) return true;
  }
  return false;
}

bool ElfFile::HasSection(std::string_view name) const {
  GElf_Shdr header;
  return FindSection(name, header);
}

ElfFile::Range ElfFile::SectionRange(std::string_view name) const {
  GElf_Shdr header;
  if (!FindSection(name, header)) return {};
  return {header.sh_addr, header.sh_addr + header.sh_size};
}

Dwarf* ElfFile::dwarf() {
  if (!dwarf_tried_) {
    dwarf_tried_ = true;
    if (HasSection(".debug_info") || HasSection(".zdebug_info")) {
      dwarf_ = dwarf_begin_elf(elf_, DWARF_C_READ, nullptr);
    }
  }
  return dwarf_;
}

namespace {

std::string Directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

// True when `debug` was split off a file with this build id or, there being none, has this
// checksum.
bool IsSameBuild(const ElfFile& debug, const std::string& build_id, uint32_t crc) {
  const std::string debug_build_id = debug.BuildId();
  if (!build_id.empty() && !debug_build_id.empty()) return debug_build_id == build_id;
  size_t size = 0;
  const char* bytes = elf_rawfile(debug.elf(), &size);
  return bytes != nullptr && Crc32(absl::string_view(bytes, size)) == crc;
}

std::unique_ptr<ElfFile> FindByBuildId(const std::string& build_id,
                                       const std::vector<std::string>& roots) {
  if (build_id.size() < 4) return nullptr;
  for (const std::string& root : roots) {
    std::unique_ptr<ElfFile> file = ElfFile::Open(absl::StrCat(
        root, "/.build-id/", build_id.substr(0, 2), "/", build_id.substr(2), ".debug"));
    if (file != nullptr && file->BuildId() == build_id) return file;
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<ElfFile> FindDebugFile(const ElfFile& stripped, const std::string& path,
                                       const std::vector<std::string>& roots) {
  const std::string build_id = stripped.BuildId();
  if (std::unique_ptr<ElfFile> file = FindByBuildId(build_id, roots)) return file;

  GElf_Word crc = 0;
  const char* link = dwelf_elf_gnu_debuglink(stripped.elf(), &crc);
  if (link == nullptr || *link == '\0') return nullptr;
  const std::string directory = Directory(path);
  std::vector<std::string> candidates = {absl::StrCat(directory, "/", link),
                                         absl::StrCat(directory, "/.debug/", link)};
  for (const std::string& root : roots) {
    candidates.push_back(absl::StrCat(root, directory, "/", link));
  }
  for (const std::string& candidate : candidates) {
    std::unique_ptr<ElfFile> file = ElfFile::Open(candidate);
    if (file != nullptr && IsSameBuild(*file, build_id, crc)) return file;
  }
  return nullptr;
}

}  // namespace curg::internal
