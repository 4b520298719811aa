// SPDX-License-Identifier: Apache-2.0
#include "export/profile_merge.h"

#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace curg {
namespace {

namespace pb = ::perftools::profiles;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// A profile as one process has it: its binary is at `start`, its ids and strings are its own.
class Source {
 public:
  explicit Source(uint64_t start, uint64_t id_base, const std::string& build_id = "abc")
      : start_(start), id_(id_base) {
    String("");
    String("some text of its own " + std::to_string(start));
    Type(*profile.add_sample_type(), "samples", "count");
    Type(*profile.add_sample_type(), "cpu", "nanoseconds");
    Type(*profile.mutable_period_type(), "cpu", "nanoseconds");
    profile.set_period(static_cast<int64_t>(id_base));
    profile.set_time_nanos(static_cast<int64_t>(1000 + id_base));
    profile.set_duration_nanos(50);
    profile.add_comment(String("same for all"));
    pb::Mapping& mapping = *profile.add_mapping();
    mapping.set_id(++id_);
    mapping.set_memory_start(start);
    mapping.set_memory_limit(start + 0x1000);
    mapping.set_filename(String("/somewhere/" + std::to_string(start)));
    mapping.set_build_id(String(build_id));
    mapping_ = id_;
  }

  // A sample whose stack is one location, `offset` in the binary.
  void Sample(const std::string& function, uint64_t offset,
              std::map<std::string, std::string> labels, int64_t samples) {
    pb::Function& f = *profile.add_function();
    f.set_id(++id_);
    f.set_name(String(function));
    pb::Location& location = *profile.add_location();
    location.set_id(++id_);
    location.set_mapping_id(mapping_);
    location.set_address(start_ + offset);
    location.add_line()->set_function_id(f.id());
    pb::Sample& sample = *profile.add_sample();
    sample.add_location_id(location.id());
    sample.add_value(samples);
    sample.add_value(samples * 10);
    for (const auto& [key, value] : labels) {
      pb::Label& label = *sample.add_label();
      label.set_key(String(key));
      // An empty value has an index of its own.
      label.set_str(value.empty() ? profile.string_table_size() : String(value));
      if (value.empty()) profile.add_string_table("");
    }
  }

  pb::Profile profile;

 private:
  int64_t String(const std::string& text) {
    const auto [found, is_new] = strings_.try_emplace(text, profile.string_table_size());
    if (is_new) profile.add_string_table(text);
    return found->second;
  }
  void Type(pb::ValueType& out, const std::string& type, const std::string& unit) {
    out.set_type(String(type));
    out.set_unit(String(unit));
  }

  uint64_t start_;
  uint64_t id_;
  uint64_t mapping_ = 0;
  std::map<std::string, int64_t> strings_;
};

// "function@offset {key=value}" -> samples. Twice the same key fails the test.
std::map<std::string, int64_t> Samples(const pb::Profile& profile) {
  const auto text = [&](int64_t index) { return profile.string_table(static_cast<int>(index)); };
  std::map<std::string, int64_t> all;
  for (const pb::Sample& sample : profile.sample()) {
    const pb::Location& location = profile.location(static_cast<int>(sample.location_id(0)) - 1);
    const pb::Function& function =
        profile.function(static_cast<int>(location.line(0).function_id()) - 1);
    const pb::Mapping& mapping = profile.mapping(static_cast<int>(location.mapping_id()) - 1);
    std::string key =
        text(function.name()) + "@" + std::to_string(location.address() - mapping.memory_start());
    for (const pb::Label& label : sample.label()) {
      EXPECT_NE(label.str(), 0);
      key += " " + text(label.key()) + "=" + text(label.str());
    }
    EXPECT_EQ(sample.value(1), sample.value(0) * 10);
    EXPECT_TRUE(all.emplace(key, sample.value(0)).second) << key;
  }
  return all;
}

TEST(MergeProfiles, AddsUpEqualStacksWhereverTheBinaryWasLoaded) {
  Source a(0x10000, 100);
  a.Sample("f", 1, {{"test", "x"}}, 3);
  a.Sample("g", 2, {}, 1);
  Source b(0x77000, 7);
  b.Sample("g", 2, {}, 5);
  b.Sample("f", 1, {{"test", "x"}}, 4);
  b.Sample("f", 1, {{"test", ""}}, 1);
  const absl::StatusOr<pb::Profile> sum = MergeProfiles({{a.profile, b.profile}});
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_THAT(Samples(*sum),
              ElementsAre(Pair("f@1 test=", 1), Pair("f@1 test=x", 7), Pair("g@2", 6)));
  EXPECT_EQ(sum->mapping_size(), 1);
  EXPECT_EQ(sum->function_size(), 2);
  EXPECT_EQ(sum->location_size(), 2);
  EXPECT_EQ(sum->time_nanos(), 1007);
  EXPECT_EQ(sum->duration_nanos(), 100);
  EXPECT_EQ(sum->period(), 100);
  EXPECT_EQ(sum->comment_size(), 1);
}

TEST(MergeProfiles, KeepsDifferentBinariesApart) {
  Source a(0x10000, 1, "abc");
  a.Sample("f", 1, {}, 1);
  Source b(0x10000, 1, "def");
  b.Sample("f", 1, {}, 1);
  const absl::StatusOr<pb::Profile> sum = MergeProfiles({{a.profile, b.profile}});
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->mapping_size(), 2);
  EXPECT_EQ(sum->sample_size(), 2);
  EXPECT_EQ(sum->function_size(), 1);
}

TEST(MergeProfiles, OfOneIsTheSame) {
  Source a(0x10000, 5);
  a.Sample("f", 1, {{"k", "v"}, {"l", "w"}}, 2);
  const absl::StatusOr<pb::Profile> sum = MergeProfiles({{a.profile}});
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(Samples(*sum), (std::map<std::string, int64_t>{{"f@1 k=v l=w", 2}}));
}

TEST(MergeProfiles, RefusesWhatDoesNotFit) {
  EXPECT_FALSE(MergeProfiles({}).ok());
  Source good(0x10000, 5);
  good.Sample("f", 1, {}, 2);
  const auto refusal = [&](void (*spoil)(pb::Profile&)) {
    pb::Profile bad = good.profile;
    spoil(bad);
    return std::string(MergeProfiles({{good.profile, bad}}).status().message());
  };
  EXPECT_THAT(refusal([](pb::Profile& p) { p.mutable_sample_type()->RemoveLast(); }),
              HasSubstr("profile 2 of 2 has other sample types"));
  EXPECT_THAT(refusal([](pb::Profile& p) { p.clear_location(); }),
              HasSubstr("a location it lacks"));
  EXPECT_THAT(refusal([](pb::Profile& p) { p.clear_function(); }),
              HasSubstr("a function it lacks"));
  EXPECT_THAT(refusal([](pb::Profile& p) { p.clear_mapping(); }), HasSubstr("a mapping it lacks"));
  EXPECT_THAT(refusal([](pb::Profile& p) { p.clear_string_table(); }), HasSubstr("string table"));
  EXPECT_THAT(refusal([](pb::Profile& p) { p.mutable_function(0)->set_name(999); }),
              HasSubstr("a string it lacks"));
  EXPECT_THAT(refusal([](pb::Profile& p) { p.mutable_sample(0)->add_value(1); }),
              HasSubstr("more or fewer values"));
}

}  // namespace
}  // namespace curg
