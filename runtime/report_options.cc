// SPDX-License-Identifier: Apache-2.0
#include "runtime/report_options.h"

#include <cstdlib>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace curg::internal {
namespace {

constexpr int64_t kMsNs = 1'000'000;
constexpr int64_t kLongSliceDefaultMs = 25;
constexpr int64_t kLongSliceMaxMs = 3'600'000;

// The environment's threshold, if it has one.
absl::StatusOr<std::optional<int64_t>> LongSliceMs() {
  const char* const text = std::getenv("CURG_LONG_SLICE_MS");
  if (text == nullptr || *text == '\0') return std::nullopt;
  int64_t ms = 0;
  if (!absl::SimpleAtoi(text, &ms) || ms < 0 || ms > kLongSliceMaxMs) {
    return absl::InvalidArgumentError(absl::StrCat(
        "CURG_LONG_SLICE_MS is \"", text, "\"; it must be milliseconds, 0 to ", kLongSliceMaxMs));
  }
  return ms;
}

}  // namespace

absl::StatusOr<ReportOptions> ReportOptionsFor(const RuntimeOptions& options) {
  ReportOptions result;
  if (options.long_slice.has_value()) {
    result.long_slice_ns = options.long_slice->count();
    result.long_slice_always = true;
  } else {
    const absl::StatusOr<std::optional<int64_t>> ms = LongSliceMs();
    if (!ms.ok()) return ms.status();
    result.long_slice_ns = ms->value_or(kLongSliceDefaultMs) * kMsNs;
    result.long_slice_always = ms->has_value();
  }
  if (result.long_slice_ns < 0 || (result.long_slice_ns > 0 && result.long_slice_ns < kMsNs)) {
    return absl::InvalidArgumentError("RuntimeOptions::long_slice must be 0 or at least 1 ms");
  }
  result.long_slices_a_minute = options.long_slices_a_minute;
  if (result.long_slices_a_minute < 0) {
    return absl::InvalidArgumentError("RuntimeOptions::long_slices_a_minute must not be negative");
  }
  result.deadlock = options.deadlock;
  result.deadlock_warning_ns = options.deadlock_warning.count();
  return result;
}

}  // namespace curg::internal
