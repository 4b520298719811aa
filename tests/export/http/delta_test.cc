// SPDX-License-Identifier: Apache-2.0
#include "export/http/delta.h"

#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "export/gzip.h"
#include "export/profile.pb.h"
#include "gtest/gtest.h"

namespace curg {
namespace {

// A profile with one stack that is seen three times more each time.
absl::StatusOr<CpuProfile> Counter() {
  static int64_t count = 0;
  CpuProfile profile;
  profile.period_ns = 1;
  profile.start = absl::Now();
  CpuProfileEntry entry;
  entry.pcs = {0x1000};
  entry.samples = count += 3;
  entry.weight = count;
  profile.entries = {entry};
  return profile;
}

DebugResponse Ask(const std::string& query, ProfileSnapshot snapshot = Counter) {
  const DebugHandler handler = WithDelta(
      "block", [](const DebugRequest&) { return DebugResponse::Text("plain"); }, snapshot);
  return handler(DebugRequest::Get("/debug/pprof/block" + query));
}

TEST(DeltaTest, OtherRequestsArePassedOn) {
  EXPECT_EQ(Ask("").body, "plain");
  EXPECT_EQ(Ask("?debug=1").body, "plain");
  EXPECT_EQ(Ask("?seconds=").body, "plain");
}

TEST(DeltaTest, TheDifferenceIsAFile) {
  const DebugResponse response = Ask("?seconds=1");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.Header("Content-Disposition"), "attachment; filename=\"block-delta\"");
  perftools::profiles::Profile profile;
  ASSERT_TRUE(profile.ParseFromString(internal::Gunzip(response.body, 1 << 20).value()));
  ASSERT_EQ(profile.sample_size(), 1);
  EXPECT_EQ(profile.sample(0).value(0), 3);
  EXPECT_GE(profile.duration_nanos(), 1'000'000'000);
}

// In Go's words.
TEST(DeltaTest, RefusesAsGoDoes) {
  for (const char* bad : {"0", "-1", "x", "1.5", "99999999999999999999"}) {
    const DebugResponse response = Ask(std::string("?seconds=") + bad);
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(response.body, "invalid value for \"seconds\" - must be a positive integer\n");
    EXPECT_EQ(response.Header("X-Go-Pprof"), "1");
  }
  EXPECT_EQ(Ask("?seconds=1", nullptr).body,
            "\"seconds\" parameter is not supported for this profile type\n");
  EXPECT_EQ(Ask("?seconds=1&debug=1").body, "seconds and debug params are incompatible\n");
  const auto failing = [] { return absl::StatusOr<CpuProfile>(absl::InternalError("x")); };
  EXPECT_EQ(Ask("?seconds=1", failing).status, 500);
}

TEST(DeltaTest, EndsWhenTheClientLeaves) {
  std::stop_source stop;
  stop.request_stop();
  DebugRequest request = DebugRequest::Get("/x?seconds=1000");
  request.stop = stop.get_token();
  EXPECT_EQ(WithDelta("x", nullptr, Counter)(request).status, 500);
}

}  // namespace
}  // namespace curg
