// SPDX-License-Identifier: Apache-2.0
#include "runtime/libunwind.h"

#include <dlfcn.h>

// Only for cursors of this process, under their own names (_ULx86_64_...).
#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#define CURG_STRING(name) #name
#define CURG_NAME(name) CURG_STRING(name)

namespace curg::internal {

struct LibUnwind::Functions {
  decltype(&unw_init_local2) init = nullptr;
  decltype(&unw_step) step = nullptr;
  decltype(&unw_get_reg) get_register = nullptr;
};

absl::StatusOr<const LibUnwind*> LibUnwind::Open() {
  static const auto* const opened = new absl::StatusOr<const LibUnwind*>(OpenOnce());
  return *opened;
}

absl::StatusOr<const LibUnwind*> LibUnwind::OpenOnce() {
  // RTLD_NOW: nothing is left to be bound inside a handler. RTLD_LOCAL: its names bind nobody else.
  void* library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::NotFoundError(absl::StrCat("cannot open libunwind: ", dlerror()));
  }
  auto* functions = new Functions;  // as the library, for ever
  const auto find = [library](const char* name, auto* function) {
    *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(dlsym(library, name));
    return *function != nullptr;
  };
  if (!find(CURG_NAME(unw_init_local2), &functions->init) ||
      !find(CURG_NAME(unw_step), &functions->step) ||
      !find(CURG_NAME(unw_get_reg), &functions->get_register)) {
    delete functions;
    dlclose(library);
    return absl::NotFoundError("this libunwind.so.8 lacks unw_init_local2; 1.3 or later is needed");
  }
  return new LibUnwind(*functions);
}

size_t LibUnwind::Walk(const ucontext_t& context, std::span<uintptr_t> pcs) const noexcept {
  // On x86-64 libunwind's context is the kernel's. It is not written to.
  static_assert(std::is_same_v<unw_context_t, ucontext_t>);
  unw_cursor_t cursor;
  auto* start = const_cast<ucontext_t*>(&context);
  if (functions_.init(&cursor, start, UNW_INIT_SIGNAL_FRAME) != 0) return 0;
  size_t depth = 0;
  do {
    unw_word_t pc = 0;
    if (depth == pcs.size() || functions_.get_register(&cursor, UNW_REG_IP, &pc) != 0) break;
    if (pc == 0) break;
    pcs[depth++] = pc;
  } while (functions_.step(&cursor) > 0);
  return depth;
}

}  // namespace curg::internal
