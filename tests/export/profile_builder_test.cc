// SPDX-License-Identifier: Apache-2.0
//
// Profiles made by hand, symbols made by hand, and the message that must come of them. Where Go's
// tests of its builder have a counterpart, its name is kept (TestTryAdd's cases among them).
#include "export/profile_builder.h"

#include <map>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "labels/label_set.h"
#include "profiler/pseudo_frames.h"

namespace curg {
namespace {

using ::perftools::profiles::Profile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr int64_t kPeriodNs = 2'000'000;

// Symbols as a table: address -> frames, innermost first.
class Symbols final : public FrameSource {
 public:
  void Add(uintptr_t address, std::vector<Frame> frames) { frames_[address] = std::move(frames); }
  const std::vector<Frame>& FramesAt(uintptr_t address) override { return frames_[address]; }

 private:
  std::map<uintptr_t, std::vector<Frame>> frames_;
};

Frame F(std::string function, std::string file = "", int line = 0) {
  Frame frame;
  frame.system_name = "_Z" + function;
  frame.function = std::move(function);
  frame.file = std::move(file);
  frame.line = line;
  return frame;
}

CpuProfileMapping Mapping(uintptr_t start, uintptr_t limit, std::string path,
                          std::string build_id = "") {
  CpuProfileMapping mapping;
  mapping.start = start;
  mapping.limit = limit;
  mapping.path = std::move(path);
  mapping.build_id = std::move(build_id);
  return mapping;
}

CpuProfileEntry Entry(std::vector<uintptr_t> pcs, int64_t samples = 1, Labels labels = {}) {
  CpuProfileEntry entry;
  entry.pcs = std::move(pcs);
  entry.samples = samples;
  entry.weight = samples * kPeriodNs;
  entry.tag = labels;
  return entry;
}

// The program's text is [0x1000, 0x2000), a library's [0x8000, 0x9000).
CpuProfile Base() {
  CpuProfile profile;
  profile.period_ns = kPeriodNs;
  profile.start = absl::FromUnixNanos(1'600'000'000'000'000'007);
  profile.duration = absl::Milliseconds(1500);
  profile.mappings = {Mapping(0x1000, 0x2000, "/bin/program", "abcd"),
                      Mapping(0x8000, 0x9000, "/lib/library.so", "ef01")};
  return profile;
}

// One line a sample: values, then frames leaf first (those of one location joined by "+"), then
// labels. "3 6000000: inner+outer main {key=value}".
std::string Line(const Profile& profile, const perftools::profiles::Sample& sample) {
  std::string line = absl::StrCat(sample.value(0), " ", sample.value(1), ":");
  for (const uint64_t id : sample.location_id()) {
    const auto& location = profile.location(static_cast<int>(id) - 1);
    EXPECT_EQ(location.id(), id);
    std::vector<std::string> names;
    for (const auto& l : location.line()) {
      const auto& function = profile.function(static_cast<int>(l.function_id()) - 1);
      names.push_back(profile.string_table(static_cast<int>(function.name())));
    }
    if (names.empty()) names.push_back(absl::StrCat("0x", absl::Hex(location.address())));
    absl::StrAppend(&line, " ", absl::StrJoin(names, "+"));
  }
  for (const auto& label : sample.label()) {
    absl::StrAppend(&line, " {", profile.string_table(static_cast<int>(label.key())), "=",
                    profile.string_table(static_cast<int>(label.str())), "}");
  }
  return line;
}

std::vector<std::string> Lines(const Profile& profile) {
  std::vector<std::string> lines;
  for (const auto& sample : profile.sample()) lines.push_back(Line(profile, sample));
  return lines;
}

std::vector<std::string> Comments(const Profile& profile) {
  std::vector<std::string> comments;
  for (const int64_t comment : profile.comment()) {
    comments.push_back(profile.string_table(static_cast<int>(comment)));
  }
  return comments;
}

std::string Text(const Profile& profile, int64_t index) {
  return profile.string_table(static_cast<int>(index));
}

TEST(ProfileBuilder, ConvertCpuProfileNoSamples) {
  Symbols symbols;
  const Profile built = BuildProfile(Base(), symbols);
  EXPECT_EQ(built.string_table(0), "");
  ASSERT_EQ(built.sample_type_size(), 2);
  EXPECT_EQ(Text(built, built.sample_type(0).type()), "samples");
  EXPECT_EQ(Text(built, built.sample_type(0).unit()), "count");
  EXPECT_EQ(Text(built, built.sample_type(1).type()), "cpu");
  EXPECT_EQ(Text(built, built.sample_type(1).unit()), "nanoseconds");
  EXPECT_EQ(Text(built, built.period_type().type()), "cpu");
  EXPECT_EQ(Text(built, built.period_type().unit()), "nanoseconds");
  EXPECT_EQ(Text(built, built.default_sample_type()), "cpu");
  EXPECT_EQ(built.period(), 2'000'000);
  EXPECT_EQ(built.time_nanos(), 1'600'000'000'000'000'007);
  EXPECT_EQ(built.duration_nanos(), 1'500'000'000);
  EXPECT_EQ(built.sample_size(), 0);
  EXPECT_EQ(built.mapping_size(), 2);
}

TEST(ProfileBuilder, ConvertCpuProfile) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100, 0x1200 + 1, 0x1300 + 1}, 10),
                     Entry({0x1100, 0x1210 + 1, 0x1300 + 1}, 30),
                     Entry({0x1100, 0x1200 + 1, 0x1300 + 1}, 20),  // the first stack again
                     Entry({0x1100}, 5)};
  Symbols symbols;
  symbols.Add(0x1100, {F("leaf")});
  symbols.Add(0x1200, {F("a")});
  symbols.Add(0x1210, {F("a")});
  symbols.Add(0x1300, {F("main")});
  const Profile built = BuildProfile(profile, symbols);
  EXPECT_THAT(Lines(built), ElementsAre("30 60000000: leaf a main", "30 60000000: leaf a main",
                                        "5 10000000: leaf"));
  // Return addresses are decremented, except the leaf; each address is one location.
  std::vector<uint64_t> addresses;
  for (const auto& location : built.location()) addresses.push_back(location.address());
  EXPECT_THAT(addresses, ElementsAre(0x1100, 0x1200, 0x1300, 0x1210));
  EXPECT_EQ(built.function_size(), 3) << "functions are shared";
  EXPECT_EQ(Text(built, built.function(0).system_name()), "_Zleaf");
}

// pprof takes a system name that is the function's own for a mangled one, and would make "ns::::F"
// and "ns::operator" of these.
TEST(ProfileBuilder, NamesWithoutASystemNameKeepTheirParentheses) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100, 0x1201})};
  Symbols symbols;
  Frame anonymous = F("ns::(anonymous namespace)::F");
  Frame lambda = F("ns::G::{lambda}::operator()");
  anonymous.system_name = lambda.system_name = "";
  symbols.Add(0x1100, {anonymous});
  symbols.Add(0x1200, {lambda});
  const Profile built = BuildProfile(profile, symbols);
  ASSERT_EQ(built.function_size(), 2);
  EXPECT_EQ(Text(built, built.function(0).name()), "ns::(anonymous namespace)::F");
  EXPECT_EQ(Text(built, built.function(0).system_name()), "");
  EXPECT_EQ(Text(built, built.function(1).name()), "ns::G::{lambda}::operator()");
  EXPECT_EQ(Text(built, built.function(1).system_name()), "");
}

TEST(ProfileBuilder, TimeIsWeightAndCountIsSignals) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100}, 3)};
  profile.entries[0].weight = 7 * kPeriodNs;  // with four overruns
  Symbols symbols;
  EXPECT_THAT(Lines(BuildProfile(profile, symbols)), ElementsAre("3 14000000: 0x1100"));
}

TEST(ProfileBuilder, InlinedFramesShareALocation) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100, 0x1200 + 1})};
  Symbols symbols;
  symbols.Add(0x1100, {F("inner", "i.cc", 5), F("middle", "m.cc", 6), F("outer", "o.cc", 7)});
  symbols.Add(0x1200, {F("main", "main.cc", 8)});
  const Profile built = BuildProfile(profile, symbols);
  EXPECT_THAT(Lines(built), ElementsAre("1 2000000: inner+middle+outer main"));
  ASSERT_EQ(built.location(0).line_size(), 3);
  EXPECT_EQ(built.location(0).line(0).line(), 5);
  EXPECT_EQ(built.location(0).line(2).line(), 7);
  EXPECT_EQ(Text(built, built.function(0).filename()), "i.cc");
}

// A function that calls itself, and one that is inlined into itself: as many frames as there were.
TEST(ProfileBuilder, RecursionIsNeitherMergedNorInvented) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100, 0x1100 + 1, 0x1100 + 1, 0x1300 + 1})};
  Symbols symbols;
  symbols.Add(0x1100, {F("recursive", "r.cc", 1)});
  symbols.Add(0x1300, {F("twice", "t.cc", 2), F("twice", "t.cc", 3)});
  const Profile built = BuildProfile(profile, symbols);
  EXPECT_THAT(Lines(built), ElementsAre("1 2000000: recursive recursive recursive twice+twice"));
  EXPECT_EQ(built.location_size(), 2);
  EXPECT_EQ(built.location(0).line_size(), 1);
}

// Go's bug 35538: the same pair of inlined functions at two addresses, one after the other.
TEST(ProfileBuilder, SameInlinedPairTwice) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100, 0x1110 + 1})};
  Symbols symbols;
  symbols.Add(0x1100, {F("inlined", "x.cc", 1), F("caller", "x.cc", 2)});
  symbols.Add(0x1110, {F("inlined", "x.cc", 1), F("caller", "x.cc", 3)});
  const Profile built = BuildProfile(profile, symbols);
  EXPECT_THAT(Lines(built), ElementsAre("1 2000000: inlined+caller inlined+caller"));
  EXPECT_EQ(built.location_size(), 2);
  EXPECT_EQ(built.function_size(), 2);
}

// Go's bug 38096: losses are a sample of their own.
TEST(ProfileBuilder, LostSamplesAreVisible) {
  for (const bool with_pseudo_frame : {false, true}) {
    CpuProfile profile = Base();
    CpuProfileEntry lost = Entry({}, 4242);
    lost.kind = SampleKind::kLost;
    if (with_pseudo_frame) lost.pcs = {internal::PseudoLeaf(&LostSamples)};
    CpuProfileEntry overflow = Entry({}, 17);
    overflow.kind = SampleKind::kOverflow;
    if (with_pseudo_frame) overflow.pcs = {internal::PseudoLeaf(&OverflowBucket)};
    profile.entries = {lost, overflow};
    profile.quality.lost_samples = 4242;
    profile.quality.lost_weight = 4242 * kPeriodNs;
    Symbols symbols;
    const Profile built = BuildProfile(profile, symbols);
    EXPECT_THAT(Lines(built), ElementsAre("4242 8484000000: curg::LostSamples",
                                          "17 34000000: curg::OverflowBucket"));
    EXPECT_THAT(Comments(built),
                ::testing::Contains(HasSubstr("curg: lost: 4242 samples (8.484s)")));
  }
}

// Go's issue 37967.
TEST(ProfileBuilder, EmptyStack) {
  CpuProfile profile = Base();
  profile.entries = {Entry({}, 2), Entry({0, 0}, 3)};
  Symbols symbols;
  EXPECT_THAT(Lines(BuildProfile(profile, symbols)), ElementsAre("5 10000000: curg::UnknownStack"));
}

TEST(ProfileBuilder, WhoseTimeItIsShowsAtTheRoot) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100, 0x1200 + 1}, 4), Entry({0x1100, 0x1200 + 1}, 3),
                     Entry({0x1100, 0x1200 + 1}, 2),
                     Entry({0x1100, internal::PseudoCaller(&ForeignThread)}, 1)};
  profile.entries[1].kind = SampleKind::kRuntime;
  profile.entries[2].kind = SampleKind::kForeign;
  profile.entries[3].kind = SampleKind::kForeign;
  Symbols symbols;
  symbols.Add(0x1100, {F("leaf")});
  symbols.Add(0x1200, {F("root")});
  const Profile built = BuildProfile(profile, symbols);
  EXPECT_THAT(Lines(built), ElementsAre("4 8000000: leaf root",  //
                                        "3 6000000: leaf root curg::RuntimeThread",
                                        "2 4000000: leaf root curg::ForeignThread",
                                        "1 2000000: leaf curg::ForeignThread"));
  EXPECT_THAT(built.sample(1).label(), IsEmpty()) << "labels are the user's alone";
}

TEST(ProfileBuilder, TruncationShowsAtTheRootOnce) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100}, 2),
                     Entry({0x1100, internal::PseudoCaller(&TruncatedStack)}, 1)};
  for (CpuProfileEntry& entry : profile.entries) entry.truncated = true;
  Symbols symbols;
  symbols.Add(0x1100, {F("leaf")});
  EXPECT_THAT(
      Lines(BuildProfile(profile, symbols)),
      ElementsAre("2 4000000: leaf curg::TruncatedStack", "1 2000000: leaf curg::TruncatedStack"));
}

TEST(ProfileBuilder, LabelsTellSamplesApart) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100}, 1, Labels::Of({{"phase", "read"}, {"ext", ""}})),
                     Entry({0x1100}, 2, Labels::Of({{"phase", "merge"}})),
                     Entry({0x1100}, 4, Labels::Of({{"ext", ""}, {"phase", "read"}})),
                     Entry({0x1100}, 8)};
  Symbols symbols;
  symbols.Add(0x1100, {F("leaf")});
  const Profile built = BuildProfile(profile, symbols);
  EXPECT_THAT(Lines(built),
              ElementsAre("8 16000000: leaf",  //
                          "5 10000000: leaf {ext=} {phase=read}", "2 4000000: leaf {phase=merge}"));
  // An empty value is a value: index 0 would mean that there is none.
  EXPECT_NE(built.sample(1).label(0).str(), 0);
}

TEST(ProfileBuilder, TaskIdsAreNumbersWithAUnit) {
  CpuProfile profile = Base();
  for (const uint64_t task : {7, 8, 7, 0}) {
    profile.entries.push_back(Entry({0x1010}));
    profile.entries.back().task_id = task;
  }
  Symbols symbols;
  const Profile message = BuildProfile(profile, symbols);
  std::map<int64_t, int64_t> samples;  // by task id
  for (const auto& sample : message.sample()) {
    ASSERT_LE(sample.label_size(), 1);
    if (sample.label_size() == 1) {
      EXPECT_EQ(message.string_table(sample.label(0).key()), "task_id");
      EXPECT_EQ(message.string_table(sample.label(0).num_unit()), "id");
      EXPECT_EQ(sample.label(0).str(), 0);
    }
    samples[sample.label_size() == 0 ? 0 : sample.label(0).num()] += sample.value(0);
  }
  EXPECT_THAT(samples, ElementsAre(Pair(0, 1), Pair(7, 2), Pair(8, 1)));
}

// As pprof does: the whole name must match.
TEST(ProfileBuilder, TheProfilersOwnWorkIsToBeDropped) {
  Symbols symbols;
  const Profile message = BuildProfile(Base(), symbols);
  const std::regex drop(message.string_table(message.drop_frames()));
  const std::regex keep(message.string_table(message.keep_frames()));
  const auto dropped = [&](const char* name) {
    return std::regex_match(name, drop) && !std::regex_match(name, keep);
  };
  EXPECT_TRUE(dropped("curg::internal::CpuMeter::EndSlice"));
  EXPECT_TRUE(dropped("curg::internal::ProfWriter::DrainAll"));
  EXPECT_FALSE(dropped("curg::internal::ProfWriter::Run"));
  EXPECT_FALSE(dropped("curg::internal::CpuMeter::Read"));
  EXPECT_FALSE(dropped("app::CpuMeter::EndSlice"));
}

TEST(ProfileBuilder, ATagThatIsNoLabelSetIsNoLabel) {
  class Other final : public Tag {};
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100})};
  profile.entries[0].tag = TagRef::Adopt(new Other);
  Symbols symbols;
  EXPECT_THAT(Lines(BuildProfile(profile, symbols)), ElementsAre("1 2000000: 0x1100"));
}

// As Go's TestMapping, but for one location without a symbol in a module that has symbols (pprof
// would look up all of that module's again).
TEST(ProfileBuilder, MappingsSayWhatTheirLocationsHave) {
  struct Case {
    std::vector<Frame> one, two;
    std::vector<bool> has;  // functions, filenames, line numbers, inline frames
  };
  const Case kCases[] = {
      {{F("f", "f.cc", 1)}, {F("g", "g.cc", 2)}, {true, true, true, true}},
      {{F("f", "f.cc", 0)}, {F("g", "g.cc", 0)}, {true, true, false, false}},
      {{F("f")}, {F("g")}, {true, false, false, false}},
      {{F("f", "f.cc", 1)}, {}, {true, true, true, true}},
      {{}, {}, {false, false, false, false}},
  };
  for (const Case& c : kCases) {
    CpuProfile profile = Base();
    profile.entries = {Entry({0x8100, 0x8200 + 1, 0x1100 + 1})};
    Symbols symbols;
    symbols.Add(0x8100, c.one);
    symbols.Add(0x8200, c.two);
    symbols.Add(0x1100, {F("main", "main.cc", 1)});
    const Profile built = BuildProfile(profile, symbols);
    const auto& library = built.mapping(1);
    EXPECT_THAT((std::vector<bool>{library.has_functions(), library.has_filenames(),
                                   library.has_line_numbers(), library.has_inline_frames()}),
                ::testing::ElementsAreArray(c.has));
    EXPECT_TRUE(built.mapping(0).has_functions());
    for (const auto& location : built.location()) {
      EXPECT_EQ(location.mapping_id(), location.address() < 0x8000 ? 1u : 2u);
    }
  }
}

TEST(ProfileBuilder, UnusedMappingsPromiseNothing) {
  Symbols symbols;
  const Profile built = BuildProfile(Base(), symbols);
  for (const auto& mapping : built.mapping()) EXPECT_FALSE(mapping.has_functions());
}

TEST(ProfileBuilder, PseudoFramesDoNotSpoilTheirMapping) {
  CpuProfile profile = Base();
  const uintptr_t pseudo = internal::PseudoLeaf(&TaskSwitch);
  profile.mappings = {
      Mapping(pseudo & ~uintptr_t{0xFFF}, (pseudo & ~uintptr_t{0xFFF}) + 0x1000, "x")};
  const uintptr_t other = profile.mappings[0].limit - 1;
  profile.entries = {Entry({pseudo}), Entry({other})};
  Symbols symbols;
  symbols.Add(other, {F("f", "f.cc", 1)});
  const Profile built = BuildProfile(profile, symbols);
  EXPECT_THAT(Lines(built),
              ::testing::UnorderedElementsAre("1 2000000: curg::TaskSwitch", "1 2000000: f"));
  EXPECT_TRUE(built.mapping(0).has_line_numbers());
}

TEST(ProfileBuilder, TheProgramComesFirst) {
  Symbols symbols;
  const Profile built = BuildProfile(Base(), symbols, {.program = "/lib/library.so"});
  ASSERT_EQ(built.mapping_size(), 2);
  EXPECT_EQ(Text(built, built.mapping(0).filename()), "/lib/library.so");
  EXPECT_EQ(built.mapping(0).id(), 1u);
  EXPECT_EQ(Text(built, built.mapping(0).build_id()), "ef01");
  EXPECT_EQ(built.mapping(1).memory_start(), 0x1000u);
  EXPECT_EQ(built.mapping(1).memory_limit(), 0x2000u);
}

TEST(ProfileBuilder, AnonymousCodeHasAName) {
  CpuProfile profile = Base();
  profile.mappings = {Mapping(0x1000, 0x2000, "")};
  Symbols symbols;
  const Profile built = BuildProfile(profile, symbols);
  EXPECT_EQ(Text(built, built.mapping(0).filename()), "//anon");
}

// Go's TestFakeMapping.
TEST(ProfileBuilder, FakeMapping) {
  CpuProfile profile = Base();
  profile.mappings.clear();
  profile.entries = {Entry({0x1100, 0x8000 + 1})};
  Symbols symbols;
  const Profile built = BuildProfile(profile, symbols);
  ASSERT_EQ(built.mapping_size(), 1);
  for (const auto& location : built.location()) EXPECT_EQ(location.mapping_id(), 1u);
}

TEST(ProfileBuilder, AddressesOutsideOfAllMappingsStay) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x5000})};
  Symbols symbols;
  const Profile built = BuildProfile(profile, symbols);
  EXPECT_EQ(built.location(0).mapping_id(), 0u);
  EXPECT_EQ(built.location(0).address(), 0x5000u);
}

TEST(ProfileBuilder, CommentsReportTheQuality) {
  CpuProfile profile = Base();
  profile.entries = {Entry({0x1100}, 90), Entry({0x1100}, 10)};
  profile.entries[1].kind = SampleKind::kForeign;
  profile.quality.engine = "posix-cpu-timer";
  profile.quality.overruns = 3;
  profile.quality.truncated = 4;
  profile.quality.failed_unwinds = 5;
  profile.quality.failed_no_row = 3;
  profile.quality.failed_bad_frame = 2;
  profile.quality.overflow_samples = 6;
  profile.quality.threads = 7;
  profile.quality.threads_refused = 8;
  profile.quality.switches = 9;
  profile.quality.notes = {"The kernel is slow."};
  profile.quality.cpu_time = absl::Milliseconds(250);
  Symbols symbols;
  EXPECT_THAT(
      Comments(BuildProfile(profile, symbols)),
      ElementsAre("curg: engine: posix-cpu-timer", "curg: period: 2ms (500 Hz)",
                  "curg: samples: 100 (overruns: 3)",
                  "curg: cpu time: 200ms credited of 250ms used (80.0%)",
                  "curg: achieved rate: 400.0 samples a second of CPU time",
                  "curg: shares: tasks 90.0%, runtime 0.0%, foreign threads 10.0%",
                  "curg: threads: 7", "curg: in a task switch: 9 samples",
                  "curg: overflow: 6 samples had no room for a stack of their own in the prof map",
                  "curg: truncated: 4 stacks were deeper than recorded",
                  "curg: failed unwinds: 5 stacks end before their root (no unwind information: "
                  "3, a frame outside of its stack: 2, unknown bounds: 0)",
                  "curg: threads refused: the kernel gave no timer to 8 threads, which have no "
                  "stacks in here",
                  "curg: note: The kernel is slow."));
}

TEST(ProfileBuilder, OnButRecordedNothingIsSaid) {
  CpuProfile profile = Base();
  profile.quality.cpu_time = absl::Seconds(3);
  Symbols symbols;
  EXPECT_THAT(Comments(BuildProfile(profile, symbols)),
              ::testing::Contains("curg: nothing was recorded, although the program used 3s of CPU "
                                  "time"));
}

TEST(ProfileBuilder, EqualProfilesGiveEqualBytes) {
  CpuProfile profile = Base();
  for (uintptr_t i = 0; i < 100; ++i)
    profile.entries.push_back(Entry({0x1100 + i % 7, 0x1200 + i}));
  Symbols symbols;
  EXPECT_EQ(BuildProfile(profile, symbols).SerializeAsString(),
            BuildProfile(profile, symbols).SerializeAsString());
}

}  // namespace
}  // namespace curg
