// SPDX-License-Identifier: Apache-2.0
#include "export/http/beast_handler.h"

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/verb.hpp>
#include <utility>

namespace curg {
namespace {

namespace http = ::boost::beast::http;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

namespace internal {

DebugRequest FromBeast(const BeastRequest& request, std::stop_token stop) {
  std::string_view target = View(request.target());
  // A proxy asks for "http://host/path".
  if (const size_t scheme = target.find("://");
      scheme != std::string_view::npos && target[0] != '/') {
    const size_t path = target.find('/', scheme + 3);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  DebugRequest result = DebugRequest::Get(target);
  result.method = std::string(View(request.method_string()));
  result.body = request.body();
  result.stop = std::move(stop);
  return result;
}

BeastResponse HeaderOf(const DebugResponse& response, const BeastRequest& request) {
  BeastResponse header;
  header.version(request.version());
  header.result(static_cast<unsigned>(response.status));
  for (const auto& [name, value] : response.headers) header.set(name, value);
  header.keep_alive(request.keep_alive());
  return header;
}

}  // namespace internal

BeastResponse HandleBeast(const DebugPages& pages, const BeastRequest& request,
                          std::stop_token stop) {
  DebugResponse response = pages.Handle(internal::FromBeast(request, std::move(stop)));
  BeastResponse result = internal::HeaderOf(response, request);
  std::string body = response.WholeBody();
  if (request.method() == http::verb::head) {
    result.content_length(body.size());
  } else {
    result.body() = std::move(body);
    result.prepare_payload();
  }
  return result;
}

}  // namespace curg
