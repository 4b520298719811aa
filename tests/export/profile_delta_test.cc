// SPDX-License-Identifier: Apache-2.0
#include "export/profile_delta.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "labels/label_set.h"

namespace curg {
namespace {

CpuProfileEntry Entry(std::vector<uintptr_t> pcs, int64_t samples, const char* tenant = nullptr) {
  CpuProfileEntry entry;
  entry.pcs = std::move(pcs);
  if (tenant != nullptr) entry.tag = Labels::Of({{"tenant", tenant}});
  entry.samples = samples;
  entry.weight = samples * 10;
  return entry;
}

CpuProfile At(int seconds, std::vector<CpuProfileEntry> entries) {
  CpuProfile profile;
  profile.start = absl::FromUnixSeconds(seconds);
  profile.entries = std::move(entries);
  return profile;
}

// "leaf samples weight" of each entry.
std::string Describe(const CpuProfile& profile) {
  return absl::StrJoin(profile.entries, ", ", [](std::string* out, const CpuProfileEntry& entry) {
    absl::StrAppend(out, entry.pcs[0], " ", entry.samples, " ", entry.weight);
  });
}

TEST(ProfileDeltaTest, WhatCameSince) {
  const CpuProfile delta =
      ProfileDelta(At(100, {Entry({1, 2}, 5), Entry({3, 2}, 7)}),
                   At(130, {Entry({1, 2}, 9), Entry({3, 2}, 7), Entry({4}, 1)}));
  EXPECT_EQ(Describe(delta), "1 4 40, 4 1 10");
  EXPECT_EQ(delta.duration, absl::Seconds(30));
  EXPECT_EQ(delta.start, absl::FromUnixSeconds(100));
}

TEST(ProfileDeltaTest, LabelsAndWholeStacksTellEntriesApart) {
  const CpuProfile delta = ProfileDelta(
      At(0, {Entry({1, 2}, 5, "acme")}),
      At(1, {Entry({1, 2}, 6, "acme"), Entry({1, 2}, 5, "initech"), Entry({1, 3}, 5)}));
  EXPECT_EQ(Describe(delta), "1 1 10, 1 5 50, 1 5 50");
}

TEST(ProfileDeltaTest, IsNeverNegative) {
  const CpuProfile delta =
      ProfileDelta(At(0, {Entry({1}, 5), Entry({2}, 5)}), At(1, {Entry({1}, 3)}));
  EXPECT_EQ(Describe(delta), "1 3 30");
}

TEST(ProfileDeltaTest, OfNothingIsNothing) {
  EXPECT_EQ(Describe(ProfileDelta(At(0, {}), At(1, {}))), "");
  const CpuProfile same = At(0, {Entry({1}, 5)});
  EXPECT_EQ(Describe(ProfileDelta(same, same)), "");
}

}  // namespace
}  // namespace curg
