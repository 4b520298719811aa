// SPDX-License-Identifier: Apache-2.0
//
// From the bytes of a binary to frames: section tables, symbols, DWARF.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "export/symbolize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int file = memfd_create("elf", MFD_CLOEXEC);
  if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  curg::CpuProfileMapping mapping;
  mapping.limit = UINTPTR_MAX;
  mapping.path = "/proc/self/fd/" + std::to_string(file);
  {
    curg::Symbolizer symbolizer({&mapping, 1}, {.debug_roots = {}});
    for (uintptr_t address = 0x400; address < 0xc00; address += 0x20) {
      if (symbolizer.FramesAt(address).size() > 1000) std::abort();
    }
  }
  close(file);
  return 0;
}
