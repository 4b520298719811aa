// SPDX-License-Identifier: Apache-2.0
#include "export/web/flame_graph.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace curg {
namespace {

namespace pb = ::perftools::profiles;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Two stacks: main > Inlined in Outer, labelled; and an address without a name.
pb::Profile Example() {
  pb::Profile profile;
  for (const char* text :
       {"", "samples", "count", "cpu", "nanoseconds", "main", "Outer", "Inlined", "a.cc",
        "/lib/libx.so", "endpoint", "/search", "a comment", "</script>"}) {
    profile.add_string_table(text);
  }
  const auto type = [&](int64_t name, int64_t unit) {
    pb::ValueType& out = *profile.add_sample_type();
    out.set_type(name);
    out.set_unit(unit);
  };
  type(1, 2);
  type(3, 4);
  profile.set_time_nanos(1'700'000'000'000'000'000);
  profile.set_duration_nanos(2'500'000'000);
  profile.add_comment(12);
  profile.add_mapping()->set_id(1);
  profile.mutable_mapping(0)->set_filename(9);
  for (const int64_t name : {5, 6, 7}) {
    pb::Function& function = *profile.add_function();
    function.set_id(static_cast<uint64_t>(name));
    function.set_name(name);
    function.set_filename(8);
  }
  const auto location = [&](uint64_t id, std::vector<uint64_t> functions) {
    pb::Location& out = *profile.add_location();
    out.set_id(id);
    out.set_mapping_id(1);
    out.set_address(0xabc);
    for (const uint64_t function : functions) out.add_line()->set_function_id(function);
  };
  location(1, {5});
  location(2, {7, 6});  // leaf first
  location(3, {});
  const auto sample = [&](std::vector<uint64_t> locations, int64_t count) -> pb::Sample& {
    pb::Sample& out = *profile.add_sample();
    for (const uint64_t id : locations) out.add_location_id(id);
    out.add_value(count);
    out.add_value(count * 10'000'000);
    return out;
  };
  pb::Label& label = *sample({2, 1}, 3).add_label();
  label.set_key(10);
  label.set_str(11);
  sample({3}, 1);
  return profile;
}

TEST(FlameGraph, HasFramesRootFirst) {
  const web::FlameGraph graph = BuildFlameGraph(Example());
  ASSERT_EQ(graph.types_size(), 2);
  EXPECT_EQ(graph.default_type(), 1);
  EXPECT_EQ(graph.types(1).unit(), "nanoseconds");
  EXPECT_EQ(graph.duration_ms(), 2500);
  EXPECT_THAT(graph.comments(), ElementsAre("a comment"));
  ASSERT_EQ(graph.samples_size(), 2);
  std::vector<std::string> names;
  for (const int frame : graph.samples(0).frames()) names.push_back(graph.frames(frame).name());
  EXPECT_THAT(names, ElementsAre("main", "Outer", "Inlined"));
  EXPECT_THAT(graph.samples(0).values(), ElementsAre(3, 30'000'000));
  EXPECT_EQ(graph.label_sets(graph.samples(0).label_set()).labels().at("endpoint"), "/search");
  EXPECT_EQ(graph.label_sets(graph.samples(1).label_set()).labels_size(), 0);
  EXPECT_EQ(graph.frames(graph.samples(1).frames(0)).name(), "0xabc (libx.so)");
}

TEST(FlameGraph, AddsUpEqualSamples) {
  pb::Profile profile = Example();
  *profile.add_sample() = profile.sample(0);
  const web::FlameGraph graph = BuildFlameGraph(profile);
  ASSERT_EQ(graph.samples_size(), 2);
  EXPECT_THAT(graph.samples(0).values(), ElementsAre(6, 60'000'000));
}

TEST(FlameGraph, SurvivesWhatIsBroken) {
  pb::Profile profile = Example();
  profile.clear_function();
  profile.clear_mapping();
  profile.clear_string_table();
  profile.mutable_sample(0)->add_location_id(77);
  profile.mutable_sample(1)->clear_value();
  const web::FlameGraph graph = BuildFlameGraph(profile);
  EXPECT_EQ(graph.samples_size(), 2);
  EXPECT_EQ(BuildFlameGraph({}).samples_size(), 0);
}

TEST(FlameGraph, IsJson) {
  const std::string json = FlameGraphJson(Example());
  EXPECT_THAT(json, HasSubstr(R"("labelSets":[{"labels":{"endpoint":"/search"}},{"labels":{}}])"));
  EXPECT_THAT(json, HasSubstr(R"("defaultType":1)"));
  EXPECT_THAT(json, HasSubstr(R"("values":[3,30000000])"));
}

TEST(FlamePage, HoldsNothingFromElsewhere) {
  const std::string page(FlamePage());
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  for (const char* foreign : {"http:", "https:", "src=", "@import", "<!-- flame", "<!-- graph"}) {
    EXPECT_THAT(page, Not(HasSubstr(foreign)));
  }
}

TEST(FlamePage, CannotBeBrokenOutOf) {
  pb::Profile profile = Example();
  *profile.mutable_string_table(5) = "</script><script>alert(1)</script>";
  const std::string page = FlamePageOf(profile, "</script> \"title\"");
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, HasSubstr(R"("title":"\u003c/script\u003e \"title\"")"));
  EXPECT_LT(page.find("id=\"data\""), page.find("\"use strict\""));
}

}  // namespace
}  // namespace curg
