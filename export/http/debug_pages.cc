// SPDX-License-Identifier: Apache-2.0
#include "export/http/debug_pages.h"

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"

namespace curg {
namespace {

constexpr absl::string_view kIndexHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>/debug/pprof/</title>
<style>
body { font-family: sans-serif; margin: 2em; max-width: 60em; }
td, th { text-align: left; vertical-align: top; padding: 0.2em 1em 0.2em 0; }
td.count { text-align: right; }
</style>
</head>
<body>
<h1>/debug/pprof/</h1>
<p>Open a profile with <code>go tool pprof URL</code>. Set debug=1 as a query parameter to export in
legacy text format.</p>
)";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string Row(std::string_view count, std::string_view link, std::string_view name,
                std::string_view description) {
  return absl::StrCat("<tr><td class=\"count\">", View(count), "</td><td><a href='",
                      EscapeHtml(link), "'>", EscapeHtml(name), "</a></td><td>",
                      EscapeHtml(description), "</td></tr>\n");
}

DebugResponse NotFound(std::string_view path) {
  if (path.starts_with(DebugPages::kProfilesPath)) {
    return DebugResponse::Error(404, "Unknown profile");
  }
  DebugResponse response = DebugResponse::Text("404 page not found\n");
  response.status = 404;
  return response;
}

DebugResponse MethodNotAllowed(bool post) {
  DebugResponse response = DebugResponse::Text("Method Not Allowed\n");
  response.status = 405;
  response.SetHeader("Allow", post ? "GET, HEAD, POST" : "GET, HEAD");
  return response;
}

bool Takes(const DebugPage& page, std::string_view method) {
  return method == "GET" || method == "HEAD" || (method == "POST" && page.post);
}

}  // namespace

DebugPages::DebugPages() {
  const std::string path(kProfilesPath);
  Add({.path = path, .handler = [this, path](const DebugRequest& request) {
         return request.path == path ? Index() : NotFound(request.path);
       }});
  Add({.path = path.substr(0, path.size() - 1),
       .handler = [path](const DebugRequest&) { return DebugResponse::Redirect(path); }});
}

void DebugPages::Add(DebugPage page) {
  std::string path = page.path;
  auto entry = std::make_shared<const Entry>(Entry{std::move(page), {}});
  const std::lock_guard lock(mutex_);
  entries_.insert_or_assign(std::move(path), std::move(entry));
}

void DebugPages::AddProfile(DebugProfile profile) {
  std::string path = absl::StrCat(View(kProfilesPath), profile.name);
  DebugPage page = {.path = path,
                    .description = profile.alias ? "" : profile.description,
                    .handler = profile.handler,
                    .post = profile.post};
  auto entry = std::make_shared<const Entry>(Entry{std::move(page), std::move(profile)});
  const std::lock_guard lock(mutex_);
  entries_.insert_or_assign(std::move(path), std::move(entry));
}

std::shared_ptr<const DebugPages::Entry> DebugPages::Find(std::string_view path) const {
  const std::lock_guard lock(mutex_);
  if (const auto it = entries_.find(path); it != entries_.end()) return it->second;
  // The longest page of a whole tree.
  for (size_t slash = path.rfind('/'); slash != std::string_view::npos;
       slash = slash == 0 ? std::string_view::npos : path.rfind('/', slash - 1)) {
    const auto it = entries_.find(path.substr(0, slash + 1));
    if (it != entries_.end()) return it->second;
  }
  return nullptr;
}

DebugResponse DebugPages::Handle(const DebugRequest& request) const {
  const std::shared_ptr<const Entry> entry = Find(request.path);
  if (entry == nullptr) return NotFound(request.path);
  if (!Takes(entry->page, request.method)) return MethodNotAllowed(entry->page.post);
  try {
    return entry->page.handler(request);
  } catch (const std::exception& error) {
    return DebugResponse::Error(500, absl::StrCat("The page failed: ", error.what()));
  } catch (...) {
    return DebugResponse::Error(500, "The page failed.");
  }
}

std::vector<std::shared_ptr<const DebugPages::Entry>> DebugPages::Entries() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const Entry>> entries;
  for (const auto& [path, entry] : entries_) entries.push_back(entry);
  return entries;
}

DebugResponse DebugPages::Index() const {
  std::string profiles, pages;
  for (const std::shared_ptr<const Entry>& entry : Entries()) {
    const DebugProfile& profile = entry->profile;
    const std::string& description = entry->page.description;
    if (description.empty()) continue;
    if (profile.name.empty()) {
      pages += Row("", entry->page.path, entry->page.path, description);
      continue;
    }
    const std::string count = profile.count ? absl::StrCat(profile.count()) : "";
    const absl::string_view mark = profile.link_query.empty() ? "" : "?";
    profiles +=
        Row(count, absl::StrCat(profile.name, mark, profile.link_query), profile.name, description);
  }
  std::string html = absl::StrCat(
      kIndexHead, "<table>\n<tr><th>Count</th><th>Profile</th><th>Description</th></tr>\n",
      profiles, "</table>\n");
  if (!pages.empty()) absl::StrAppend(&html, "<h2>Pages</h2>\n<table>\n", pages, "</table>\n");
  return DebugResponse::Html(absl::StrCat(html, "</body>\n</html>\n"));
}

}  // namespace curg
