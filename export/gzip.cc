// SPDX-License-Identifier: Apache-2.0
#include "export/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace curg::internal {
namespace {

constexpr int kGzipFormat = 16 + MAX_WBITS;  // zlib's way to ask for gzip's header and trailer
constexpr size_t kChunk = size_t{64} << 10;

// zlib counts input in 32 bits: hands it the next part of `rest`.
void Feed(z_stream& stream, absl::string_view& rest) {
  if (stream.avail_in != 0 || rest.empty()) return;
  const size_t part = std::min<size_t>(rest.size(), std::numeric_limits<uInt>::max());
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(rest.data()));
  stream.avail_in = static_cast<uInt>(part);
  rest.remove_prefix(part);
}

}  // namespace

absl::StatusOr<std::string> Gzip(absl::string_view data) {
  z_stream stream = {};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipFormat, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return absl::ResourceExhaustedError("no memory to compress with");
  }
  absl::Cleanup end = [&stream] { deflateEnd(&stream); };
  std::string result;
  for (int rc = Z_OK; rc != Z_STREAM_END;) {
    Feed(stream, data);
    const size_t done = result.size();
    result.resize(done + kChunk);
    stream.next_out = reinterpret_cast<Bytef*>(result.data() + done);
    stream.avail_out = kChunk;
    rc = deflate(&stream, data.empty() ? Z_FINISH : Z_NO_FLUSH);
    result.resize(result.size() - stream.avail_out);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
      return absl::InternalError(absl::StrCat("zlib's deflate failed with code ", rc));
    }
  }
  return result;
}

absl::StatusOr<std::string> Gunzip(absl::string_view file, size_t size_max) {
  z_stream stream = {};
  if (inflateInit2(&stream, kGzipFormat) != Z_OK) {
    return absl::ResourceExhaustedError("no memory to decompress with");
  }
  absl::Cleanup end = [&stream] { inflateEnd(&stream); };
  std::string result;
  for (int rc = Z_OK; rc != Z_STREAM_END;) {
    Feed(stream, file);
    const size_t done = result.size();
    result.resize(done + kChunk);
    stream.next_out = reinterpret_cast<Bytef*>(result.data() + done);
    stream.avail_out = kChunk;
    rc = inflate(&stream, Z_NO_FLUSH);
    result.resize(result.size() - stream.avail_out);
    if (rc != Z_OK && rc != Z_STREAM_END) {
      return absl::DataLossError(rc == Z_BUF_ERROR ? "the gzip file is cut short"
                                                   : "not a gzip file, or a damaged one");
    }
    if (result.size() > size_max) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the gzip file holds more than ", size_max, " bytes"));
    }
  }
  if (stream.avail_in != 0 || !file.empty()) {
    return absl::DataLossError("something follows the end of the gzip file");
  }
  return result;
}

uint32_t Crc32(absl::string_view data) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()));
}

}  // namespace curg::internal
