// SPDX-License-Identifier: Apache-2.0
#include "profiler/mappings.h"

#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "profiler/proc_self.h"

namespace curg::internal {
namespace {

// What the loader knows of a module.
struct Module {
  uintptr_t low = 0;  // of its segments
  uintptr_t high = 0;
  uintptr_t load_bias = 0;
  std::string name;
  std::string build_id;
};

size_t AlignNote(size_t size) { return (size + 3) & ~size_t{3}; }

// The build id in a note segment, in hexadecimal; empty if there is none.
std::string BuildIdIn(const char* note, size_t size) {
  const char* const end = note + size;
  while (static_cast<size_t>(end - note) >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, note, sizeof(header));
    const char* const name = note + sizeof(header);
    const char* const content = name + AlignNote(header.n_namesz);
    const char* const next = content + AlignNote(header.n_descsz);
    if (next > end || next <= note) break;
    const bool gnu = header.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0;
    if (gnu && header.n_type == NT_GNU_BUILD_ID) {
      return absl::BytesToHexString(absl::string_view(content, header.n_descsz));
    }
    note = next;
  }
  return "";
}

Module ModuleOf(const dl_phdr_info& info) {
  Module module;
  module.low = UINTPTR_MAX;
  module.load_bias = info.dlpi_addr;
  module.name = info.dlpi_name;
  for (const ElfW(Phdr)* segment = info.dlpi_phdr; segment != info.dlpi_phdr + info.dlpi_phnum;
       ++segment) {
    const uintptr_t start = info.dlpi_addr + segment->p_vaddr;
    if (segment->p_type == PT_LOAD) {
      module.low = std::min(module.low, start & ~uintptr_t{4095});
      module.high = std::max(module.high, start + segment->p_memsz);
    }
    if (segment->p_type == PT_NOTE && module.build_id.empty()) {
      module.build_id = BuildIdIn(reinterpret_cast<const char*>(start), segment->p_memsz);
    }
  }
  return module;
}

std::vector<Module> Modules() {
  std::vector<Module> modules;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* modules) {
        static_cast<std::vector<Module>*>(modules)->push_back(ModuleOf(*info));
        return 0;
      },
      &modules);
  return modules;
}

// How often modules have come and gone.
std::pair<uint64_t, uint64_t> AddsAndSubs() {
  std::pair<uint64_t, uint64_t> counts;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* counts) {
        *static_cast<std::pair<uint64_t, uint64_t>*>(counts) = {info->dlpi_adds, info->dlpi_subs};
        return 1;
      },
      &counts);
  return counts;
}

CpuProfileMapping MappingOf(const ProcMapping& mapping, const std::vector<Module>& modules) {
  CpuProfileMapping result = {.start = mapping.start,
                              .limit = mapping.limit,
                              .offset = mapping.offset,
                              .load_bias = mapping.start - mapping.offset,
                              .path = mapping.path,
                              .build_id = ""};
  for (const Module& module : modules) {
    if (mapping.start < module.low || mapping.start >= module.high) continue;
    result.load_bias = module.load_bias;
    result.build_id = module.build_id;
    // Text that was moved to huge pages has lost its path.
    if (result.path.empty()) result.path = module.name;
  }
  return result;
}

bool Overlap(const CpuProfileMapping& a, const CpuProfileMapping& b) {
  return a.start < b.limit && b.start < a.limit;
}

}  // namespace

std::vector<CpuProfileMapping> CurrentMappings() {
  const std::vector<Module> modules = Modules();
  std::vector<CpuProfileMapping> mappings;
  for (const ProcMapping& mapping : ReadProcMaps().value_or(std::vector<ProcMapping>())) {
    if (mapping.executable) mappings.push_back(MappingOf(mapping, modules));
  }
  return mappings;
}

bool MappingRecorder::Capture() {
  const auto adds_and_subs = AddsAndSubs();
  if (adds_and_subs == adds_and_subs_) return false;
  adds_and_subs_ = adds_and_subs;
  std::vector<CpuProfileMapping> now = CurrentMappings();
  for (CpuProfileMapping& old : mappings_) {
    const bool replaced = std::any_of(
        now.begin(), now.end(), [&old](const CpuProfileMapping& m) { return Overlap(m, old); });
    if (!replaced) now.push_back(std::move(old));
  }
  mappings_ = std::move(now);
  return true;
}

std::vector<CpuProfileMapping> MappingRecorder::Take() {
  std::sort(
      mappings_.begin(), mappings_.end(),
      [](const CpuProfileMapping& a, const CpuProfileMapping& b) { return a.start < b.start; });
  adds_and_subs_ = {0, 0};
  return std::exchange(mappings_, {});
}

}  // namespace curg::internal
