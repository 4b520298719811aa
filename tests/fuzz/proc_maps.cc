// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "profiler/proc_self.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  for (const curg::internal::ProcMapping& mapping : curg::internal::ParseProcMaps(text)) {
    if (mapping.start >= mapping.limit) std::abort();
  }
  return 0;
}
