// SPDX-License-Identifier: Apache-2.0
//
// From the bytes of a request to those of its answer.
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <cstdlib>

#include "export/http/beast_handler.h"
#include "export/http/debug_pages.h"

namespace {

curg::DebugPages& Pages() {
  static curg::DebugPages& pages = *[] {
    auto* made = new curg::DebugPages;
    made->AddProfile(
        {.name = "profile", .description = "A profile", .handler = [](const auto& request) {
           return curg::DebugResponse::Text(request.path + request.raw_query + request.body);
         }});
    return made;
  }();
  return pages;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace http = boost::beast::http;
  http::request_parser<http::string_body> parser;
  parser.eager(true);
  parser.header_limit(4096);
  parser.body_limit(4096);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(data, size), error);
  if (!parser.is_done()) return 0;
  const curg::BeastResponse response = curg::HandleBeast(Pages(), parser.get());
  const unsigned status = response.result_int();
  if (status < 200 || status > 599) std::abort();
  return 0;
}
