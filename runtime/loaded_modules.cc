// SPDX-License-Identifier: Apache-2.0
#include "runtime/loaded_modules.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

// Called straight through the address that the loader filled in at start. Bound lazily, the first
// call would run the loader's symbol lookup inside the signal handler.
extern "C" int _dl_find_object(void* address, dl_find_object* result) noexcept
    __attribute__((noplt));

namespace curg::internal {
namespace {

// The 8 bytes at `at`, wherever that is.
uint64_t ReadMark(const uint8_t* at) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value |= uint64_t{at[i]} << (8 * i);
  return value;
}

// The build id among the notes in [at, at + size); null if there is none of 8 bytes or more.
const uint8_t* BuildIdInNotes(const uint8_t* at, size_t size, size_t alignment) {
  const auto align = [alignment](size_t value) {
    return (value + alignment - 1) & ~(alignment - 1);
  };
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof(note));
    const size_t description = align(sizeof(note) + note.n_namesz);
    const size_t next = align(description + note.n_descsz);
    if (description + note.n_descsz > size) return nullptr;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_descsz >= 8 && note.n_namesz == sizeof("GNU") &&
        std::memcmp(at + sizeof(note), "GNU", sizeof("GNU")) == 0) {
      return at + description;
    }
    if (next >= size) return nullptr;
    at += next;
    size -= next;
  }
  return nullptr;
}

// A module's name for itself, or the last part of the path it was loaded from.
std::string_view NameOf(const link_map& map) {
  const std::string_view path = map.l_name;
  return path.substr(path.rfind('/') + 1);
}

// Calls `visit` with every string of that kind in the dynamic section: DT_NEEDED, DT_SONAME.
void VisitDynamicStrings(const link_map& map, ElfW(Sxword) kind,
                         absl::FunctionRef<void(std::string_view)> visit) {
  const char* strings = nullptr;
  for (const ElfW(Dyn)* entry = map.l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_STRTAB) strings = reinterpret_cast<const char*>(entry->d_un.d_ptr);
  }
  // The loader relocates the pointer where it can write, which is everywhere but in the vdso.
  if (reinterpret_cast<uintptr_t>(strings) < map.l_addr) return;
  for (const ElfW(Dyn)* entry = map.l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == kind) visit(strings + entry->d_un.d_val);
  }
}

// The modules that stay for as long as the process: the program, what it was linked with, what
// those were linked with, and so on; and the vdso. What a program needs, dlclose never unloads.
// Requires: the loader's lock is held.
std::vector<const void*> FindPermanent() {
  std::unordered_map<std::string_view, const link_map*> named;  // the first of that name
  for (const link_map* map = _r_debug.r_map; map != nullptr; map = map->l_next) {
    named.try_emplace(NameOf(*map), map);
    VisitDynamicStrings(*map, DT_SONAME,
                        [&](std::string_view own) { named.try_emplace(own, map); });
  }
  std::vector<const void*> permanent = {_r_debug.r_map};
  std::unordered_set<const void*> seen = {_r_debug.r_map};
  const auto add = [&](std::string_view name) {
    const auto it = named.find(name);
    if (it != named.end() && seen.insert(it->second).second) permanent.push_back(it->second);
  };
  for (size_t i = 0; i < permanent.size(); ++i) {
    VisitDynamicStrings(*static_cast<const link_map*>(permanent[i]), DT_NEEDED, add);
  }
  add("linux-vdso.so.1");
  return permanent;
}

bool IsPermanent(const void* map) {
  static const std::vector<const void*>* const permanent =
      new std::vector<const void*>(FindPermanent());  // found once: it never changes
  return std::find(permanent->begin(), permanent->end(), map) != permanent->end();
}

// The start files' functions in the module at `base`, by its dynamic section.
std::vector<uintptr_t> InitFunctions(uintptr_t base, uintptr_t dynamic) {
  std::vector<uintptr_t> functions;
  for (const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(dynamic); entry->d_tag != DT_NULL;
       ++entry) {
    const uintptr_t at = base + entry->d_un.d_ptr;
    if (entry->d_tag == DT_INIT || entry->d_tag == DT_FINI) functions.push_back(at);
    // Its first entry is the start files'.
    if (entry->d_tag == DT_FINI_ARRAY) functions.push_back(*reinterpret_cast<const uintptr_t*>(at));
  }
  std::sort(functions.begin(), functions.end());
  return functions;
}

// What the program headers tell.
struct Segments {
  LoadedModule module;
  const uint8_t* eh_frame_header = nullptr;
};

Segments ReadSegments(const dl_phdr_info& info) {
  Segments segments;
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info.dlpi_phdr[i];
    const uintptr_t begin = info.dlpi_addr + header.p_vaddr;
    const auto* bytes = reinterpret_cast<const uint8_t*>(begin);
    constexpr unsigned kText = PF_R | PF_X;
    if (header.p_type == PT_LOAD && (header.p_flags & kText) == kText) {
      segments.module.text.push_back({begin, begin + header.p_memsz});
    } else if (header.p_type == PT_NOTE && segments.module.mark.at == nullptr) {
      const size_t alignment = header.p_align == 8 ? 8 : 4;
      segments.module.mark.at = BuildIdInNotes(bytes, header.p_memsz, alignment);
    } else if (header.p_type == PT_GNU_EH_FRAME) {
      segments.eh_frame_header = bytes;
    } else if (header.p_type == PT_DYNAMIC) {
      segments.module.init_functions = InitFunctions(info.dlpi_addr, begin);
    }
  }
  std::sort(segments.module.text.begin(), segments.module.text.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  ModuleMark& mark = segments.module.mark;
  if (mark.at != nullptr) mark.value = ReadMark(mark.at);
  return segments;
}

struct Visit {
  LoaderGeneration seen;
  LoaderGeneration current;
  bool changed = false;
  bool settled = true;
  absl::FunctionRef<void(const LoadedModule&)> visit;
};

void VisitOne(const dl_phdr_info& info, Visit& state) {
  Segments segments = ReadSegments(info);
  LoadedModule& module = segments.module;
  if (module.text.empty() || segments.eh_frame_header == nullptr) return;
  // The loader keeps two lists, and changes them one after the other: a module that only this one
  // holds is on its way in or out.
  if (!FindModule(module.text.front().begin, &module.identity) ||
      module.identity.eh_frame_header != segments.eh_frame_header) {
    state.settled = false;
    return;
  }
  module.permanent = IsPermanent(module.identity.link_map);
  state.visit(module);
}

int OnModule(dl_phdr_info* info, size_t, void* arg) {
  Visit& state = *static_cast<Visit*>(arg);
  state.current = {info->dlpi_adds, info->dlpi_subs};
  if (state.current == state.seen) return 1;  // no need to look further
  state.changed = true;
  VisitOne(*info, state);
  return 0;
}

}  // namespace

bool ModuleMark::Holds() const noexcept { return at != nullptr && ReadMark(at) == value; }

bool FindModule(uintptr_t pc, ModuleIdentity* identity) noexcept {
  dl_find_object found;
  if (_dl_find_object(reinterpret_cast<void*>(pc), &found) != 0) return false;
  *identity = {.map_begin = reinterpret_cast<uintptr_t>(found.dlfo_map_start),
               .map_end = reinterpret_cast<uintptr_t>(found.dlfo_map_end),
               .link_map = found.dlfo_link_map,
               .eh_frame_header = static_cast<const uint8_t*>(found.dlfo_eh_frame)};
  return true;
}

bool VisitLoadedModules(LoaderGeneration* generation,
                        absl::FunctionRef<void(const LoadedModule&)> visit) {
  Visit state{.seen = *generation, .current = {}, .visit = visit};
  dl_iterate_phdr(&OnModule, &state);
  if (state.changed && state.settled) *generation = state.current;
  return state.changed;
}

}  // namespace curg::internal
