// SPDX-License-Identifier: Apache-2.0
//
// All that is used of zlib.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace curg::internal {

// `data` as a gzip file without name or time, so that equal data gives equal bytes.
// Thread-safe.
absl::StatusOr<std::string> Gzip(absl::string_view data);

// The content of a whole gzip file. DataLoss when it is not one, is cut short, or is damaged;
// ResourceExhausted when the content is longer than `size_max` bytes.
// Thread-safe.
absl::StatusOr<std::string> Gunzip(absl::string_view file, size_t size_max);

// The CRC-32 of `data`, as gzip and .gnu_debuglink define it. Thread-safe.
uint32_t Crc32(absl::string_view data);

}  // namespace curg::internal
