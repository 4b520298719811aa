// SPDX-License-Identifier: Apache-2.0
//
// The modules (executable, shared objects, vdso) that are loaded now, and which of them an address
// is in, as the dynamic loader sees it.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "runtime/eh_frame.h"

namespace curg::internal {

// What the loader has put at a place. Equal for as long as a module stays loaded, but alone no
// proof: a version of a plug-in that replaces another may well get the same addresses, and the
// loader's record of it the same block of the heap. ModuleMark tells those apart.
struct ModuleIdentity {
  uintptr_t map_begin = 0;
  uintptr_t map_end = 0;
  const void* link_map = nullptr;
  const uint8_t* eh_frame_header = nullptr;
  friend bool operator==(const ModuleIdentity&, const ModuleIdentity&) = default;

  EhFrame eh_frame() const {
    return {.header = eh_frame_header,
            .low = reinterpret_cast<const uint8_t*>(map_begin),
            .high = reinterpret_cast<const uint8_t*>(map_end)};
  }
};

// The module that `pc` is in now; false if none. About 10 ns.
// Async-signal-safe: no lock, no allocation, no system call. May run in parallel with everything.
bool FindModule(uintptr_t pc, ModuleIdentity* identity) noexcept;

// What tells a module from every other that may be loaded into its place: the beginning of its
// build id, in its own memory.
struct ModuleMark {
  const uint8_t* at = nullptr;  // null: it has none
  uint64_t value = 0;           // of the 8 bytes there
  friend bool operator==(const ModuleMark&, const ModuleMark&) = default;

  // Whether the mark is still there. Requires: a module is loaded that covers `at`. Should it be
  // unloaded at this very moment by another thread, this reads memory that is gone; therefore ask
  // only for a module with a frame on the stack, which nobody may unload.
  // Async-signal-safe.
  bool Holds() const noexcept;
};

struct LoadedModule {
  struct Text {
    uintptr_t begin = 0;
    uintptr_t end = 0;
  };
  ModuleIdentity identity;
  ModuleMark mark;
  bool permanent = false;  // never unloaded: the program, the vdso, and what the program was linked
                           // with
  std::vector<Text> text;  // its readable and executable segments, ascending; never empty
  // Of the start files, ascending: _init, _fini, __do_global_dtors_aux, where it has them.
  std::vector<uintptr_t> init_functions;
};

// How many modules were ever loaded and unloaded; changes whenever the set of modules does.
struct LoaderGeneration {
  uint64_t added = 0;
  uint64_t removed = 0;
  friend bool operator==(const LoaderGeneration&, const LoaderGeneration&) = default;
};

// Calls `visit` for every module with exception tables, unless the set of modules is still that of
// `*generation`; then, in microseconds, returns false. None is loaded or unloaded meanwhile, for
// the loader's lock is held: `visit` must neither wait for a thread that might want it nor throw.
// Advances *generation only when it saw every module settled; one that is just being loaded or
// unloaded is skipped, and the next call visits all again.
// Thread-safe. Not async-signal-safe. Blocks: the thread.
bool VisitLoadedModules(LoaderGeneration* generation,
                        absl::FunctionRef<void(const LoadedModule&)> visit);

}  // namespace curg::internal
