// SPDX-License-Identifier: Apache-2.0
//
// DebugPages: which path is answered by what, and the index page that lists it all.
//
//   curg::DebugPages pages;
//   curg::AddPprofPages(pages);                         // export/http/pprof_pages.h
//   pages.AddProfile({.name = "locks", .description = "Who holds what", .count = CountLocks,
//                     .handler = [](const curg::DebugRequest& request) { ... }});
//   pages.Add({.path = "/debug/flame", .description = "Flame graph", .handler = FlamePage});
//   curg::DebugResponse response = pages.Handle(curg::DebugRequest::Get("/debug/pprof/"));
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "export/http/debug_page.h"

namespace curg {

struct DebugPage {
  // "/debug/flame", or with a "/" at its end for all paths that begin with it (longer ones go
  // first).
  std::string path = {};
  // One line for the index page; empty: the page is not listed.
  std::string description = {};
  DebugHandler handler = {};
  // Besides GET (and HEAD, which every page gets).
  bool post = false;
};

struct DebugProfile {
  // The last part of its path: /debug/pprof/NAME.
  std::string name = {};
  std::string description = {};
  // Shown in the index. Null: none. Must be quick.
  std::function<int64_t()> count = {};
  DebugHandler handler = {};
  bool post = false;
  // What the index page's link asks for.
  std::string link_query = "debug=1";
  // An older name of another profile: it works, but the index does not list it.
  bool alias = false;
};

// Thread-safe: pages may be added while others are asked for.
class DebugPages {
 public:
  static constexpr std::string_view kProfilesPath = "/debug/pprof/";

  // With the index page at /debug/pprof/, and a redirection there from /debug/pprof.
  DebugPages();

  DebugPages(const DebugPages&) = delete;
  DebugPages& operator=(const DebugPages&) = delete;

  // A page or profile of the same path or name replaces the former one. Blocks: the thread,
  // briefly.
  void Add(DebugPage page);
  void AddProfile(DebugProfile profile);

  // The answer. 404 for what is not there ("Unknown profile" below /debug/pprof/, as Go says), 405
  // for other methods than the page takes, 500 when its handler throws. A HEAD request is handled
  // as GET; it is for the transport to leave the body out.
  // Blocks: the task, for as long as the page's handler does.
  DebugResponse Handle(const DebugRequest& request) const;

 private:
  struct Entry {
    DebugPage page;
    DebugProfile profile;  // name empty: a page
  };

  std::shared_ptr<const Entry> Find(std::string_view path) const;
  std::vector<std::shared_ptr<const Entry>> Entries() const;
  DebugResponse Index() const;

  mutable std::mutex mutex_;
  // guarded by mutex_, which is held for the look-up, never while a handler runs
  std::map<std::string, std::shared_ptr<const Entry>, std::less<>> entries_;  // by path
};

}  // namespace curg
