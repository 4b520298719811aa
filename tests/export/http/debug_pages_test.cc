// SPDX-License-Identifier: Apache-2.0
#include "export/http/debug_pages.h"

#include <stdexcept>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace curg {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

DebugHandler Says(std::string text) {
  return [text](const DebugRequest&) { return DebugResponse::Text(text); };
}

class DebugPagesTest : public ::testing::Test {
 protected:
  DebugResponse Get(std::string_view target) { return pages_.Handle(DebugRequest::Get(target)); }

  DebugPages pages_;
};

TEST_F(DebugPagesTest, TheIndexListsProfilesWithCountsAndPages) {
  pages_.AddProfile({.name = "locks",
                     .description = "Who holds <what>",
                     .count = [] { return 7; },
                     .handler = Says("x")});
  pages_.AddProfile({.name = "old", .description = "Same", .handler = Says("x"), .alias = true});
  pages_.Add({.path = "/debug/flame", .description = "Flame graph", .handler = Says("x")});
  pages_.Add({.path = "/debug/flame.js", .handler = Says("x")});
  const DebugResponse index = Get("/debug/pprof/");
  EXPECT_EQ(index.status, 200);
  EXPECT_EQ(index.Header("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(index.Header("X-Content-Type-Options"), "nosniff");
  EXPECT_THAT(index.body, AllOf(HasSubstr("<td class=\"count\">7</td><td><a href='locks?debug=1'>"),
                                HasSubstr("Who holds &lt;what&gt;"), Not(HasSubstr("'old")),
                                HasSubstr("<a href='/debug/flame'>"), HasSubstr("Flame graph"),
                                Not(HasSubstr("flame.js"))));
}

TEST_F(DebugPagesTest, ThePathWithoutSlashIsRedirected) {
  const DebugResponse response = Get("/debug/pprof");
  EXPECT_EQ(response.status, 301);
  EXPECT_EQ(response.Header("Location"), "/debug/pprof/");
}

TEST_F(DebugPagesTest, UnknownPathsAre404AsGoSaysIt) {
  const DebugResponse profile = Get("/debug/pprof/nothing");
  EXPECT_EQ(profile.status, 404);
  EXPECT_EQ(profile.body, "Unknown profile\n");
  EXPECT_EQ(profile.Header("X-Go-Pprof"), "1");
  EXPECT_EQ(profile.Header("X-Content-Type-Options"), "nosniff");
  const DebugResponse other = Get("/elsewhere");
  EXPECT_EQ(other.status, 404);
  EXPECT_EQ(other.body, "404 page not found\n");
  EXPECT_EQ(other.Header("X-Go-Pprof"), "");
  EXPECT_EQ(Get("").status, 404);
}

TEST_F(DebugPagesTest, OtherMethodsAre405) {
  pages_.AddProfile({.name = "a", .handler = Says("a")});
  pages_.AddProfile({.name = "b", .handler = Says("b"), .post = true});
  for (const char* method : {"POST", "PUT", "DELETE", "BREW"}) {
    DebugRequest request = DebugRequest::Get("/debug/pprof/a");
    request.method = method;
    const DebugResponse response = pages_.Handle(request);
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(response.Header("Allow"), "GET, HEAD");
  }
  DebugRequest request = DebugRequest::Get("/debug/pprof/b");
  request.method = "POST";
  EXPECT_EQ(pages_.Handle(request).body, "b");
  request.method = "HEAD";
  EXPECT_EQ(pages_.Handle(request).status, 200);
}

TEST_F(DebugPagesTest, TheLongestTreeAnswersAndAPageIsReplaced) {
  pages_.Add({.path = "/debug/", .handler = Says("short")});
  pages_.Add({.path = "/debug/flame/", .handler = Says("long")});
  pages_.Add({.path = "/debug/flame/exact", .handler = Says("exact")});
  EXPECT_EQ(Get("/debug/flame/a/b").body, "long");
  EXPECT_EQ(Get("/debug/flame/exact").body, "exact");
  EXPECT_EQ(Get("/debug/flame").body, "short");
  pages_.Add({.path = "/debug/flame/exact", .handler = Says("new")});
  EXPECT_EQ(Get("/debug/flame/exact").body, "new");
}

TEST_F(DebugPagesTest, PathsAreUnescaped) {
  pages_.Add({.path = "/debug/a b", .handler = [](const DebugRequest& request) {
                return DebugResponse::Text(std::string(request.query.Get("x")));
              }});
  EXPECT_EQ(Get("/debug/a%20b?x=%41").body, "A");
}

TEST_F(DebugPagesTest, AFailingPageIs500) {
  pages_.Add({.path = "/a", .handler = [](const DebugRequest&) -> DebugResponse {
                throw std::runtime_error("no luck");
              }});
  pages_.Add({.path = "/b", .handler = [](const DebugRequest&) -> DebugResponse { throw 1; }});
  EXPECT_EQ(Get("/a").status, 500);
  EXPECT_THAT(Get("/a").body, HasSubstr("no luck"));
  EXPECT_EQ(Get("/b").status, 500);
}

TEST(DebugResponseTest, SaysWhatItIs) {
  const DebugResponse file = DebugResponse::File("heap-delta", "x");
  EXPECT_EQ(file.Header("Content-Disposition"), "attachment; filename=\"heap-delta\"");
  EXPECT_EQ(file.Header("Content-Type"), "application/octet-stream");
  EXPECT_EQ(DebugResponse::Error(absl::InvalidArgumentError("bad")).status, 400);
  EXPECT_EQ(DebugResponse::Error(absl::NotFoundError("bad")).status, 404);
  EXPECT_EQ(DebugResponse::Error(absl::UnavailableError("bad")).status, 503);
  EXPECT_EQ(DebugResponse::Error(absl::InternalError("bad")).body, "bad\n");
}

TEST(DebugResponseTest, AStreamIsABody) {
  DebugResponse response = DebugResponse::Text("");
  response.stream = [](const DebugSink& sink) {
    for (int i = 0; i < 3 && sink(std::to_string(i)); ++i) continue;
  };
  EXPECT_EQ(response.WholeBody(), "012");
}

}  // namespace
}  // namespace curg
