// SPDX-License-Identifier: Apache-2.0
#include "export/profile_text.h"

#include <random>
#include <string>

#include "absl/status/status.h"
#include "export/profile.pb.h"
#include "export/profile_view.h"
#include "gmock/gmock.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"

namespace curg {
namespace {

using ::perftools::profiles::Profile;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Two types of values; stacks of named functions, the leaf first.
class ProfileMaker {
 public:
  ProfileMaker() {
    Text("");
    AddType("samples", "count");
    AddType("cpu", "nanoseconds");
    profile_.set_default_sample_type(Text("cpu"));
    profile_.set_duration_nanos(2'000'000'000);
  }

  ProfileMaker& Add(const std::vector<std::string>& stack, int64_t milliseconds,
                    const std::vector<std::pair<std::string, std::string>>& labels = {}) {
    auto* sample = profile_.add_sample();
    for (const std::string& name : stack) sample->add_location_id(Location(name));
    sample->add_value(milliseconds / 10);
    sample->add_value(milliseconds * 1'000'000);
    for (const auto& [key, value] : labels) {
      auto* label = sample->add_label();
      label->set_key(Text(key));
      label->set_str(Text(value));
    }
    return *this;
  }

  Profile& profile() { return profile_; }
  int64_t Text(const std::string& text) {
    for (int i = 0; i < profile_.string_table_size(); ++i) {
      if (profile_.string_table(i) == text) return i;
    }
    profile_.add_string_table(text);
    return profile_.string_table_size() - 1;
  }

 private:
  void AddType(const std::string& type, const std::string& unit) {
    auto* added = profile_.add_sample_type();
    added->set_type(Text(type));
    added->set_unit(Text(unit));
  }

  uint64_t Location(const std::string& name) {
    for (const auto& function : profile_.function()) {
      if (profile_.string_table(static_cast<int>(function.name())) == name) return function.id();
    }
    const uint64_t id = static_cast<uint64_t>(profile_.function_size()) + 1;
    auto* function = profile_.add_function();
    function->set_id(id);
    function->set_name(Text(name));
    auto* location = profile_.add_location();
    location->set_id(id);
    location->set_address(0x1000 * id);
    location->add_line()->set_function_id(id);
    return id;
  }

  Profile profile_;
};

Profile Small() {
  return ProfileMaker()
      .Add({"Parse", "Serve", "main"}, 600, {{"tenant", "acme"}})
      .Add({"Serve", "main"}, 100, {{"tenant", "acme"}})
      .Add({"Parse", "Parse", "Serve", "main"}, 300, {{"tenant", "initech"}, {"odd", "\x1b[2J"}})
      .profile();
}

TEST(ProfileTextTest, TopCountsRecursionOnce) {
  const ProfileView view = ProfileView::Of(Small()).value();
  const std::string top = ProfileTop(view, {.type = view.default_type()});
  EXPECT_EQ(top,
            "Top functions (cpu: 1.00s in 2.00s)\n"
            "   flat  flat%    sum%    cum    cum%  function\n"
            "  900ms  90.0%   90.0%  900ms   90.0%  Parse\n"
            "  100ms  10.0%  100.0%  1.00s  100.0%  Serve\n"
            "      0   0.0%  100.0%  1.00s  100.0%  main\n");
  EXPECT_THAT(ProfileTop(view, {.type = 0, .rows_max = 1}),
              AllOf(StartsWith("Top functions (samples: 100 in 2.00s)\n"),
                    HasSubstr("  ... and 2 more functions\n")));
}

TEST(ProfileTextTest, TagsAreSummedAndCannotDriveTheTerminal) {
  const ProfileView view = ProfileView::Of(Small()).value();
  const std::string tags = ProfileTags(view, {.type = 1});
  EXPECT_THAT(tags, AllOf(HasSubstr("  1.00s  100.0%  tenant\n  700ms   70.0%  acme\n"
                                    "  300ms   30.0%  initech\n"),
                          HasSubstr("\"\\x1b[2J\"")));
  EXPECT_EQ(tags.find('\x1b'), std::string::npos);
}

TEST(ProfileTextTest, TheTreeGoesFromTheRoots) {
  const ProfileView view = ProfileView::Of(Small()).value();
  EXPECT_EQ(ProfileTree(view, {.type = 1}),
            "Call tree (cpu: 1.00s in 2.00s)\n"
            "   1.00s 100.0%  └ main\n"
            "   1.00s 100.0%    └ Serve\n"
            "   900ms  90.0%      └ Parse\n"
            "   300ms  30.0%        └ Parse\n");
  EXPECT_EQ(ProfileTree(view, {.type = 1, .share_min = 0.5}).find("300ms"), std::string::npos);
}

TEST(ProfileTextTest, FoldedStacksAreOneLineEach) {
  Profile profile =
      ProfileMaker().Add({"a;b", "main"}, 20).Add({"c\nd"}, 10).Add({"a;b", "main"}, 5).profile();
  const ProfileView view = ProfileView::Of(profile).value();
  EXPECT_EQ(ProfileFolded(view, 1), "main;a:b 25000000\nc d 10000000\n");
}

TEST(ProfileTextTest, KeepsOnlyWhatHasTheLabel) {
  ProfileView view = ProfileView::Of(Small()).value();
  view.KeepLabel("tenant=acme");
  EXPECT_EQ(view.Total(1), 700'000'000);
  view.KeepLabel("odd");
  EXPECT_EQ(view.Total(1), 0);
}

TEST(ProfileTextTest, ADifferenceHasBothSigns) {
  const Profile base = ProfileMaker().Add({"same"}, 50).Add({"less"}, 90).profile();
  const Profile now =
      ProfileMaker().Add({"same"}, 50).Add({"less"}, 30).Add({"more"}, 40).profile();
  const ProfileView view = ProfileView::Of(DiffProfiles(base, now).value()).value();
  EXPECT_EQ(ProfileTop(view, {.type = 1}),
            "Top functions (cpu: -20ms)\n"
            "   flat   flat%    sum%    cum    cum%  function\n"
            "  -60ms  -60.0%  -60.0%  -60ms  -60.0%  less\n"
            "   40ms   40.0%  -20.0%   40ms   40.0%  more\n");
}

TEST(ProfileTextTest, WhatHasNoNameIsItsAddress) {
  Profile profile = Small();
  profile.clear_function();
  for (auto& location : *profile.mutable_location()) location.clear_line();
  const ProfileView view = ProfileView::Of(profile).value();
  EXPECT_THAT(view.names(), ::testing::Contains("0x1000"));
}

TEST(ProfileTextTest, BrokenReferencesAreErrors) {
  const auto broken = [](auto change) {
    Profile profile = Small();
    change(profile);
    return ProfileView::Of(profile).status().code();
  };
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(broken([](Profile& p) { p.mutable_sample(0)->set_location_id(0, 77); }), invalid);
  EXPECT_EQ(broken([](Profile& p) { p.mutable_sample(0)->add_value(1); }), invalid);
  EXPECT_EQ(broken([](Profile& p) { p.mutable_function(0)->set_name(-1); }), invalid);
  EXPECT_EQ(broken([](Profile& p) { p.mutable_location(0)->mutable_line(0)->set_function_id(9); }),
            invalid);
  EXPECT_EQ(broken([](Profile& p) { p.clear_sample_type(); }), invalid);
}

// Files from anywhere: whatever their bytes, there is a text or an error.
TEST(ProfileTextTest, AnyBytesAreReadOrRefused) {
  const google::protobuf::LogSilencer quiet;
  const std::string good = Small().SerializeAsString();
  std::mt19937 random(3);
  int readable = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (int changes = 0; changes < 3; ++changes) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    Profile profile;
    if (!profile.ParseFromString(bytes)) continue;
    const absl::StatusOr<ProfileView> view = ProfileView::Of(profile);
    if (!view.ok()) continue;
    ++readable;
    const int type = view->default_type();
    EXPECT_FALSE(ProfileTop(*view, {.type = type}).empty());
    EXPECT_FALSE(ProfileTags(*view, {.type = type}).empty());
    EXPECT_FALSE(ProfileTree(*view, {.type = type}).empty());
    ProfileFolded(*view, type);
  }
  EXPECT_GT(readable, 100);
}

}  // namespace
}  // namespace curg
