// SPDX-License-Identifier: Apache-2.0
//
// AsioStream: a TcpStream as the synchronous functions of Boost.Asio and Beast take it
// (SyncReadStream, SyncWriteStream). They block the task only, and compile and run faster than
// asynchronous ones.
//
//   curg::AsioStream stream(tcp_stream);
//   boost::beast::http::read(stream, buffer, request);
//
//   boost::asio::ssl::stream<curg::AsioStream> tls(curg::AsioStream(tcp_stream), context);
//   tls.handshake(boost::asio::ssl::stream_base::server);
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <stop_token>

#include "runtime/deadline.h"
#include "runtime/io/io_executor.h"
#include "runtime/io/tcp.h"

namespace curg {

// Refers to the stream, which must outlive it. As thread-safe as that.
class AsioStream {
 public:
  using executor_type = boost::asio::io_context::executor_type;
  using lowest_layer_type = AsioStream;
  using next_layer_type = AsioStream;

  explicit AsioStream(TcpStream& stream) : stream_(&stream), executor_(IoExecutor()) {}

  // For all calls from now on. `stop` must outlive them.
  void SetLimits(Deadline deadline, const std::stop_token* stop = nullptr) {
    deadline_ = deadline;
    stop_ = stop;
  }

  template <typename MutableBuffers>
  size_t read_some(const MutableBuffers& buffers, boost::system::error_code& error) {
    for (auto i = boost::asio::buffer_sequence_begin(buffers);
         i != boost::asio::buffer_sequence_end(buffers); ++i) {
      if (const boost::asio::mutable_buffer buffer = *i; buffer.size() > 0)
        return ReadInto(buffer, error);
    }
    error = {};
    return 0;
  }
  template <typename MutableBuffers>
  size_t read_some(const MutableBuffers& buffers) {
    boost::system::error_code error;
    const size_t count = read_some(buffers, error);
    if (error) throw boost::system::system_error(error, "read_some");
    return count;
  }

  template <typename ConstBuffers>
  size_t write_some(const ConstBuffers& buffers, boost::system::error_code& error) {
    iovec pieces[kPiecesMax];
    size_t count = 0;
    for (auto i = boost::asio::buffer_sequence_begin(buffers);
         i != boost::asio::buffer_sequence_end(buffers) && count < kPiecesMax; ++i) {
      const boost::asio::const_buffer buffer = *i;
      if (buffer.size() > 0) pieces[count++] = {const_cast<void*>(buffer.data()), buffer.size()};
    }
    return WriteFrom({pieces, count}, error);
  }
  template <typename ConstBuffers>
  size_t write_some(const ConstBuffers& buffers) {
    boost::system::error_code error;
    const size_t count = write_some(buffers, error);
    if (error) throw boost::system::system_error(error, "write_some");
    return count;
  }

  executor_type get_executor() noexcept { return executor_; }
  AsioStream& lowest_layer() { return *this; }
  const AsioStream& lowest_layer() const { return *this; }
  AsioStream& next_layer() { return *this; }
  TcpStream& stream() { return *stream_; }

 private:
  static constexpr size_t kPiecesMax = 16;

  size_t ReadInto(boost::asio::mutable_buffer buffer, boost::system::error_code& error);
  size_t WriteFrom(std::span<const iovec> pieces, boost::system::error_code& error);

  TcpStream* stream_;
  executor_type executor_;
  Deadline deadline_ = Deadline::Never();
  const std::stop_token* stop_ = nullptr;
};

}  // namespace curg
