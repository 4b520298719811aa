// SPDX-License-Identifier: Apache-2.0
#include "export/http/debug_page.h"

#include <strings.h>

#include <optional>

#include "absl/strings/str_cat.h"

namespace curg {
namespace {

DebugResponse Make(std::string_view type, std::string body) {
  DebugResponse response;
  response.SetHeader("Content-Type", type);
  response.SetHeader("X-Content-Type-Options", "nosniff");
  response.body = std::move(body);
  return response;
}

bool SameName(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

int HttpStatus(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return 503;
    default:
      return 500;
  }
}

}  // namespace

DebugRequest DebugRequest::Get(std::string_view target) {
  DebugRequest request;
  const size_t mark = target.find('?');
  const std::string_view path = target.substr(0, mark);
  request.path = UnescapePath(path).value_or(std::string(path));
  if (mark != std::string_view::npos) request.raw_query = std::string(target.substr(mark + 1));
  request.query = UrlQuery::Parse(request.raw_query);
  return request;
}

DebugResponse DebugResponse::Text(std::string body) {
  return Make("text/plain; charset=utf-8", std::move(body));
}

DebugResponse DebugResponse::Html(std::string body) {
  return Make("text/html; charset=utf-8", std::move(body));
}

DebugResponse DebugResponse::Json(std::string body) {
  return Make("application/json; charset=utf-8", std::move(body));
}

DebugResponse DebugResponse::File(std::string_view filename, std::string body) {
  DebugResponse response = Make("application/octet-stream", std::move(body));
  response.SetHeader("Content-Disposition",
                     absl::StrCat("attachment; filename=\"",
                                  absl::string_view(filename.data(), filename.size()), "\""));
  return response;
}

DebugResponse DebugResponse::Error(int status, std::string_view message) {
  DebugResponse response = Text(std::string(message) + "\n");
  response.SetHeader("X-Go-Pprof", "1");
  response.status = status;
  return response;
}

DebugResponse DebugResponse::Error(const absl::Status& status) {
  const absl::string_view message = status.message();
  return Error(HttpStatus(status.code()), {message.data(), message.size()});
}

DebugResponse DebugResponse::Redirect(std::string_view location) {
  DebugResponse response = Text("");
  response.status = 301;
  response.SetHeader("Location", location);
  return response;
}

void DebugResponse::SetHeader(std::string_view name, std::string_view value) {
  for (auto& [known, known_value] : headers) {
    if (SameName(known, name)) {
      known_value = std::string(value);
      return;
    }
  }
  headers.emplace_back(name, value);
}

std::string_view DebugResponse::Header(std::string_view name) const {
  for (const auto& [known, value] : headers) {
    if (SameName(known, name)) return value;
  }
  return {};
}

std::string DebugResponse::WholeBody() const {
  if (!stream) return body;
  std::string whole;
  stream([&whole](std::string_view piece) {
    whole.append(piece);
    return true;
  });
  return whole;
}

}  // namespace curg
