// SPDX-License-Identifier: Apache-2.0
//
// The debug pages on a Boost.Beast server of your own:
//
//   http::request<http::string_body> request = ...;
//   if (request.target().starts_with("/debug/")) return curg::HandleBeast(pages, request);
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <stop_token>

#include "export/http/debug_page.h"
#include "export/http/debug_pages.h"

namespace curg {

using BeastRequest = boost::beast::http::request<boost::beast::http::string_body>;
using BeastResponse = boost::beast::http::response<boost::beast::http::string_body>;

// The pages' answer, complete with Content-Length; without its body for a HEAD request, and with
// the body in one piece where a page makes it bit by bit. Request `stop` when the client leaves.
// Thread-safe. Blocks: the task or thread, for as long as the page does: up to the whole of
// "?seconds=", so call it where that holds up nobody.
BeastResponse HandleBeast(const DebugPages& pages, const BeastRequest& request,
                          std::stop_token stop = {});

namespace internal {

DebugRequest FromBeast(const BeastRequest& request, std::stop_token stop);

// Status and headers of `response` as an answer to `request`; the body is left out.
BeastResponse HeaderOf(const DebugResponse& response, const BeastRequest& request);

}  // namespace internal
}  // namespace curg
