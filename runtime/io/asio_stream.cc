// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/asio_stream.h"

#include <boost/asio/error.hpp>

namespace curg {
namespace {

boost::system::error_code AsioError(const internal::IoResult& result) {
  if (result.limit == WaitStatus::kTimeout) return boost::asio::error::timed_out;
  if (result.limit == WaitStatus::kCancelled) return boost::asio::error::operation_aborted;
  return {result.error, boost::system::system_category()};
}

}  // namespace

size_t AsioStream::ReadInto(boost::asio::mutable_buffer buffer, boost::system::error_code& error) {
  const internal::IoResult result =
      stream_->ReadSome({static_cast<char*>(buffer.data()), buffer.size()}, {deadline_, stop_});
  error = AsioError(result);
  if (result.ok() && result.count == 0) error = boost::asio::error::eof;
  return result.count;
}

size_t AsioStream::WriteFrom(std::span<const iovec> pieces, boost::system::error_code& error) {
  error = {};
  if (pieces.empty()) return 0;
  const internal::IoResult result = stream_->WriteSome(pieces, {deadline_, stop_});
  error = AsioError(result);
  return result.count;
}

}  // namespace curg
