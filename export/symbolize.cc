// SPDX-License-Identifier: Apache-2.0
#include "export/symbolize.h"

#include <sys/auxv.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "export/demangle.h"
#include "export/dwarf_index.h"
#include "export/elf_file.h"
#include "export/frame_memory.h"
#include "export/large_stack.h"
#include "export/symbol_table.h"

namespace curg {
namespace {

using internal::ElfFile;

constexpr std::string_view kVdso = "[vdso]";
constexpr std::string_view kStubName = "[plt]";

std::unique_ptr<ElfFile> OpenBuild(const std::string& path, const std::string& build_id) {
  std::unique_ptr<ElfFile> file = ElfFile::Open(path);
  return file != nullptr && file->BuildId() == build_id ? std::move(file) : nullptr;
}

// The file behind a mapping, or null. A file of another build (a program rebuilt while it runs) is
// none; then, and when the file was deleted, the kernel still has this process's own program, and,
// for who may look (CAP_CHECKPOINT_RESTORE or root), whatever it has mapped.
std::unique_ptr<ElfFile> OpenModule(const CpuProfileMapping& mapping) {
  if (mapping.path == kVdso) {
    // Only in memory, and only this process's.
    if (mapping.start != getauxval(AT_SYSINFO_EHDR)) return nullptr;
    return ElfFile::FromMemory(reinterpret_cast<const void*>(mapping.start),
                               mapping.limit - mapping.start);
  }
  if (mapping.build_id.empty()) return ElfFile::Open(mapping.path);
  const std::string mapped = absl::StrCat("/proc/self/map_files/", absl::Hex(mapping.start), "-",
                                          absl::Hex(mapping.limit));
  for (const std::string& path : {mapping.path, std::string("/proc/self/exe"), mapped}) {
    if (auto file = OpenBuild(path, mapping.build_id); file != nullptr) return file;
  }
  return nullptr;
}

// Tells files apart.
std::string FileOf(const CpuProfileMapping& mapping) {
  return absl::StrCat(mapping.path, absl::string_view("\0", 1), mapping.build_id);
}

}  // namespace

// One program or shared object, and the debug file that belongs to it.
class Symbolizer::Module {
 public:
  Module(const CpuProfileMapping& mapping, const SymbolizerOptions& options)
      : file_(OpenModule(mapping)) {
    if (file_ == nullptr) return;
    if (file_->dwarf() == nullptr && mapping.path != kVdso) {
      debug_file_ = internal::FindDebugFile(*file_, mapping.path, options.debug_roots);
    }
    if (Dwarf* dwarf = (debug_file_ ? debug_file_ : file_)->dwarf(); dwarf != nullptr) {
      dwarf_.emplace(dwarf);
    }
    const bool stripped = !file_->HasSection(".symtab");
    symbols_.emplace((stripped && debug_file_ ? debug_file_ : file_)->elf());
    for (const char* section : {".plt", ".plt.sec", ".plt.got"}) {
      stubs_.push_back(file_->SectionRange(section));
    }
  }

  // `address` is one of the file's, not of the process.
  std::vector<Frame> Find(uint64_t address) {
    if (file_ == nullptr) return {};
    std::vector<Frame> frames;
    if (dwarf_) frames = dwarf_->Find(address);
    // The function that holds the code has a symbol, which may know its linkage name.
    if (frames.empty() || frames.back().system_name.empty()) {
      AddSymbol(address, frames);
    } else if (!frames.back().system_name.starts_with("_Z")) {
      UsePublicName(address, frames.back());
    }
    if (!frames.empty() && frames.back().function.empty()) return {};
    return frames;
  }

 private:
  void AddSymbol(uint64_t address, std::vector<Frame>& frames) {
    std::string_view symbol = symbols_->Find(address);
    if (symbol.empty() && !symbols_->empty() && InStub(address)) symbol = kStubName;
    if (symbol.empty()) return;
    if (frames.empty()) frames.emplace_back();
    Frame& frame = frames.back();
    frame.system_name = std::string(symbol);
    const std::string name = internal::ReadableName(symbol);
    // An unmangled symbol of C++ (main, extern "C") says no more than the debug information.
    if (frame.function.empty() || name != symbol) frame.function = name;
  }

  // C libraries call a function by names of their own (__GI___libc_read); callers know it as read.
  void UsePublicName(uint64_t address, Frame& frame) {
    const std::string_view name = symbols_->PublicAlias(address, frame.system_name);
    if (name.empty()) return;
    frame.system_name = std::string(name);
    frame.function = internal::ReadableName(name);
  }

  // In one of the linker's stubs for calls to other modules, of which no table says a name. They
  // need one: a single nameless location makes pprof look up its whole mapping anew, and worse.
  bool InStub(uint64_t address) const {
    return std::any_of(stubs_.begin(), stubs_.end(), [address](const ElfFile::Range& stub) {
      return stub.begin <= address && address < stub.end;
    });
  }

  std::unique_ptr<ElfFile> file_;
  std::unique_ptr<ElfFile> debug_file_;
  std::vector<ElfFile::Range> stubs_;
  std::optional<internal::DwarfIndex> dwarf_;
  std::optional<internal::SymbolTable> symbols_;
};

Symbolizer::Symbolizer(absl::Span<const CpuProfileMapping> mappings, SymbolizerOptions options)
    : options_(std::move(options)), mappings_(mappings.begin(), mappings.end()) {
  std::sort(mappings_.begin(), mappings_.end(),
            [](const auto& a, const auto& b) { return a.start < b.start; });
}

Symbolizer::~Symbolizer() = default;

const std::vector<Frame>& Symbolizer::FramesAt(uintptr_t address) {
  auto [it, is_new] = frames_.try_emplace(address);
  if (!is_new) return it->second;
  const CpuProfileMapping* const mapping = MappingAt(address);
  if (mapping == nullptr) return it->second;
  const uint64_t in_file = address - mapping->load_bias;
  const bool remember = options_.remember && !mapping->build_id.empty();
  const std::string file = remember ? FileOf(*mapping) : std::string();
  if (remember) it->second = internal::FrameMemory::OfProcess().Find(file, in_file);
  if (!it->second.empty()) return it->second;
  internal::OnLargeStack([&, &frames = it->second] { frames = ModuleOf(*mapping).Find(in_file); });
  if (remember && !it->second.empty())
    internal::FrameMemory::OfProcess().Add(file, in_file, it->second);
  return it->second;
}

const CpuProfileMapping* Symbolizer::MappingAt(uintptr_t address) const {
  auto it = std::upper_bound(
      mappings_.begin(), mappings_.end(), address,
      [](uintptr_t a, const CpuProfileMapping& mapping) { return a < mapping.start; });
  if (it == mappings_.begin()) return nullptr;
  --it;
  return address < it->limit ? &*it : nullptr;
}

Symbolizer::Module& Symbolizer::ModuleOf(const CpuProfileMapping& mapping) {
  std::unique_ptr<Module>& module = modules_[FileOf(mapping)];
  if (module == nullptr) module = std::make_unique<Module>(mapping, options_);
  return *module;
}

}  // namespace curg
