// SPDX-License-Identifier: Apache-2.0
//
// Whatever is in a profile, Go's own package reads from our file what we wrote into it.

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "export/gzip.h"
#include "export/profile.pb.h"
#include "export/profile_builder.h"
#include "gtest/gtest.h"
#include "labels/label_set.h"
#include "profiler/cpu_profile.h"
#include "tests/examples/subprocess.h"

namespace curg {
namespace {

namespace pb = ::perftools::profiles;

// Text as Go's %q writes it, of the characters that this test uses.
std::string Quote(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        quoted += "\\\"";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\0':
        quoted += "\\x00";
        break;
      default:
        quoted += c;
    }
  }
  return quoted + "\"";
}

// The message as profile_dump.go prints it.
class Dump {
 public:
  explicit Dump(const pb::Profile& profile) : profile_(profile) {
    for (const auto& location : profile.location()) locations_[location.id()] = &location;
    for (const auto& function : profile.function()) functions_[function.id()] = &function;
  }

  std::string Print() {
    for (const auto& type : profile_.sample_type()) {
      absl::StrAppend(&out_, "type ", Text(type.type()), " ", Text(type.unit()), "\n");
    }
    absl::StrAppend(&out_, "default ", Text(profile_.default_sample_type()), "\n");
    absl::StrAppend(&out_, "period ", Text(profile_.period_type().type()), " ",
                    Text(profile_.period_type().unit()), " ", profile_.period(), "\n");
    absl::StrAppend(&out_, "time ", profile_.time_nanos(), " ", profile_.duration_nanos(), "\n");
    absl::StrAppend(&out_, "frames ", Text(profile_.drop_frames()), " ",
                    Text(profile_.keep_frames()), "\n");
    for (const int64_t comment : profile_.comment())
      absl::StrAppend(&out_, "comment ", Text(comment), "\n");
    for (const auto& mapping : profile_.mapping()) {
      absl::StrAppendFormat(&out_, "mapping %x %x %x %s %s %s\n", mapping.memory_start(),
                            mapping.memory_limit(), mapping.file_offset(), Text(mapping.filename()),
                            Text(mapping.build_id()), mapping.has_functions() ? "true" : "false");
    }
    for (const auto& sample : profile_.sample()) PrintSample(sample);
    return out_;
  }

 private:
  std::string Text(int64_t index) { return Quote(profile_.string_table(static_cast<int>(index))); }

  void PrintSample(const pb::Sample& sample) {
    absl::StrAppend(&out_, "sample [", sample.value(0), " ", sample.value(1), "]\n");
    for (const uint64_t id : sample.location_id()) {
      const pb::Location& location = *locations_.at(id);
      absl::StrAppend(&out_, " at ", absl::Hex(location.address()), "\n");
      for (const auto& line : location.line()) {
        const pb::Function& function = *functions_.at(line.function_id());
        absl::StrAppend(&out_, "  ", Text(function.name()), " ", Text(function.system_name()), " ",
                        Text(function.filename()), " ", function.start_line(), " ", line.line(),
                        "\n");
      }
    }
    std::vector<std::string> labels;
    for (const auto& label : sample.label()) {
      labels.push_back(
          label.str() != 0
              ? absl::StrCat(" label ", Text(label.key()), " ", Text(label.str()), "\n")
              : absl::StrCat(" number ", Text(label.key()), " ", label.num(), " ",
                             Text(label.num_unit()), "\n"));
    }
    std::sort(labels.begin(), labels.end());
    for (const std::string& label : labels) out_ += label;
  }

  const pb::Profile& profile_;
  std::map<uint64_t, const pb::Location*> locations_;
  std::map<uint64_t, const pb::Function*> functions_;
  std::string out_;
};

// Frames made up from the address: some with inlined calls, some without a name.
class MadeUpFrames final : public FrameSource {
 public:
  const std::vector<Frame>& FramesAt(uintptr_t address) override {
    std::vector<Frame>& frames = frames_[address];
    if (frames.empty() && address % 5 != 0) {
      for (uintptr_t i = 0; i <= address % 3; ++i) {
        frames.push_back({.function = absl::StrCat("ns::f<", (address + i) % 17, ">::\"g\""),
                          .system_name = i % 2 == 0 ? absl::StrCat("_Z", (address + i) % 17) : "",
                          .file = absl::StrCat("dir with space/f", address % 4, ".cc"),
                          .line = static_cast<int>(address % 1000),
                          .start_line = static_cast<int>(address % 10),
                          .inlined = i < address % 3});
      }
    }
    return frames;
  }

 private:
  std::map<uintptr_t, std::vector<Frame>> frames_;
};

CpuProfile RandomProfile(std::mt19937& random) {
  static const std::vector<std::string> kTexts = {
      "", "a", "key", "b\"c\\d", "line\nbreak", "grün", "日本", " x ", "0", std::string("n\0l", 3)};
  const auto text = [&]() -> const std::string& { return kTexts[random() % kTexts.size()]; };
  CpuProfile profile;
  profile.period_ns = 1 + static_cast<int64_t>(random() % 100'000'000);
  profile.start = absl::FromUnixNanos(static_cast<int64_t>(random()) * 1'000'000);
  profile.duration = absl::Nanoseconds(random());
  for (uintptr_t i = 0; i < 3; ++i) {
    CpuProfileMapping mapping;
    mapping.start = 0x10000 * (i + 1);
    mapping.limit = mapping.start + 0x8000;
    mapping.offset = 0x1000 * i;
    mapping.path = i == 2 ? "" : absl::StrCat("/lib/with space ", i, ".so");
    mapping.build_id = i == 0 ? "deadbeef" : "";
    profile.mappings.push_back(mapping);
  }
  for (size_t entries = random() % 40; entries > 0; --entries) {
    CpuProfileEntry entry;
    for (size_t depth = random() % 6; depth > 0; --depth) {
      entry.pcs.push_back(0x10000 * (1 + random() % 3) + random() % 64 + 1);
    }
    std::vector<Label> labels;
    for (size_t count = random() % 3; count > 0; --count) labels.push_back({text(), text()});
    entry.tag = Labels::Of(labels);
    entry.kind = static_cast<SampleKind>(random() % 6);
    entry.task_id = random() % 3;
    entry.samples = 1 + static_cast<int64_t>(random() % 100);
    entry.weight = (entry.samples + static_cast<int64_t>(random() % 3)) * profile.period_ns;
    profile.entries.push_back(std::move(entry));
  }
  return profile;
}

TEST(PprofRoundTrip, GoReadsWhatWasWritten) {
  std::mt19937 random(11);
  const std::string path = NewDirectory() + "/profile.pb.gz";
  for (int round = 0; round < 60; ++round) {
    MadeUpFrames frames;
    const pb::Profile profile =
        BuildProfile(RandomProfile(random), frames, {.program = "/lib/with space 1.so"});
    WriteFile(path, internal::Gzip(profile.SerializeAsString()).value());
    const ProgramResult result =
        RunProgram({"/bin/sh", "-c", "\"$0\" < \"$1\"", ProgramPath("PROFILE_DUMP"), path});
    ASSERT_EQ(result.status, 0) << result.err;
    ASSERT_EQ(result.out, Dump(profile).Print()) << round;
  }
}

}  // namespace
}  // namespace curg
