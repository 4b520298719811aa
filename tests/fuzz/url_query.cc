// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "export/http/debug_page.h"
#include "export/label_filter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const curg::DebugRequest request = curg::DebugRequest::Get(text);
  request.query.GetInt("seconds");
  // Escaped for HTML, nothing can open a tag.
  if (curg::EscapeHtml(text).find('<') != std::string::npos) std::abort();
  const auto filter = curg::LabelFilter::Parse(request.query.All("label"));
  if (filter.ok()) filter->Matches(nullptr);
  return 0;
}
