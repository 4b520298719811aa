// SPDX-License-Identifier: Apache-2.0
#include "export/profile_builder.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "export/pseudo_names.h"
#include "export/quality.h"
#include "labels/label_set.h"

namespace curg {
namespace {

namespace pb = ::perftools::profiles;

// The string table: each text once.
class Strings {
 public:
  explicit Strings(pb::Profile& message) : message_(message) { Index(""); }

  int64_t Index(std::string_view text) {
    auto [it, is_new] = indexes_.try_emplace(std::string(text), message_.string_table_size());
    if (is_new) message_.add_string_table(std::string(text));
    return it->second;
  }

  // For a label's value: index 0 would mean that there is none, so that a reader drops the label.
  int64_t LabelValueIndex(std::string_view text) {
    if (!text.empty()) return Index(text);
    if (empty_value_ == 0) {
      empty_value_ = message_.string_table_size();
      message_.add_string_table("");
    }
    return empty_value_;
  }

 private:
  pb::Profile& message_;
  absl::flat_hash_map<std::string, int64_t> indexes_;
  int64_t empty_value_ = 0;
};

Frame NamedFrame(std::string_view name) {
  Frame frame;
  frame.function = std::string(name);
  return frame;
}

// The mappings, and which symbols all locations of each have.
class Mappings {
 public:
  Mappings(pb::Profile& message, Strings& strings) : message_(message), strings_(strings) {}

  void AddAll(std::vector<CpuProfileMapping> mappings, const std::string& program) {
    // pprof says that a profile needs at least one.
    if (mappings.empty()) mappings.emplace_back().limit = UINTPTR_MAX;
    std::stable_partition(mappings.begin(), mappings.end(), [&](const CpuProfileMapping& mapping) {
      return !program.empty() && mapping.path == program;
    });
    for (const CpuProfileMapping& mapping : mappings) Add(mapping);
    found_.resize(mappings.size());
  }

  // The id of the mapping around `address`, or 0; notes what is known of a location there. Null: a
  // pseudo frame, of which symbols could not tell more.
  uint64_t Use(uint64_t address, const std::vector<Frame>* frames) {
    for (int i = 0; i < message_.mapping_size(); ++i) {
      const pb::Mapping& mapping = message_.mapping(i);
      if (address < mapping.memory_start() || address >= mapping.memory_limit()) continue;
      if (frames != nullptr) found_[static_cast<size_t>(i)].Note(*frames);
      return mapping.id();
    }
    return 0;
  }

  void Finish() {
    for (int i = 0; i < message_.mapping_size(); ++i) {
      const Found& found = found_[static_cast<size_t>(i)];
      pb::Mapping* mapping = message_.mutable_mapping(i);
      mapping->set_has_functions(found.functions);
      mapping->set_has_filenames(found.files);
      mapping->set_has_line_numbers(found.lines);
      // Inlined calls are known from the same source as lines.
      mapping->set_has_inline_frames(mapping->has_line_numbers());
    }
  }

 private:
  // What symbols told of a mapping's locations. One location that has no symbol says nothing
  // against the module's symbols (Go's rule, which would make pprof look up all of them again, with
  // what tools it has and often to worse names): the module itself was read, and a later reader
  // finds no more in it.
  struct Found {
    bool functions = false;
    bool files = false;
    bool lines = false;

    void Note(const std::vector<Frame>& frames) {
      for (const Frame& frame : frames) {
        functions |= !frame.function.empty();
        files |= !frame.file.empty();
        lines |= frame.line != 0;
      }
    }
  };

  void Add(const CpuProfileMapping& from) {
    pb::Mapping* mapping = message_.add_mapping();
    mapping->set_id(static_cast<uint64_t>(message_.mapping_size()));
    mapping->set_memory_start(from.start);
    mapping->set_memory_limit(from.limit);
    mapping->set_file_offset(from.offset);
    // As perf names it; readers know that there is no such file.
    mapping->set_filename(strings_.Index(from.path.empty() ? "//anon" : from.path));
    mapping->set_build_id(strings_.Index(from.build_id));
  }

  pb::Profile& message_;
  Strings& strings_;
  std::vector<Found> found_;  // parallel to the message's mappings
};

// Locations, one an address, and their functions.
class Locations {
 public:
  Locations(pb::Profile& message, Strings& strings, Mappings& mappings, FrameSource& source)
      : message_(message), strings_(strings), mappings_(mappings), source_(source) {}

  // The id of the location at `address`, which is within the instruction or call.
  uint64_t At(uint64_t address) {
    auto [it, is_new] = by_address_.try_emplace(address);
    if (!is_new) return it->second;
    const std::string_view pseudo = internal::PseudoName(address);
    const std::vector<Frame> named = {NamedFrame(pseudo)};
    const std::vector<Frame>& frames = pseudo.empty() ? source_.FramesAt(address) : named;
    pb::Location* location = Add(frames);
    location->set_address(address);
    location->set_mapping_id(mappings_.Use(address, pseudo.empty() ? &frames : nullptr));
    return it->second = location->id();
  }

  // The id of a location that is no address.
  uint64_t Named(std::string_view name) {
    auto [it, is_new] = by_name_.try_emplace(std::string(name));
    if (is_new) it->second = Add({NamedFrame(name)})->id();
    return it->second;
  }

 private:
  using FunctionKey = std::tuple<int64_t, int64_t, int64_t, int64_t>;

  pb::Location* Add(const std::vector<Frame>& frames) {
    pb::Location* location = message_.add_location();
    location->set_id(static_cast<uint64_t>(message_.location_size()));
    for (const Frame& frame : frames) {
      if (frame.function.empty()) continue;
      pb::Line* line = location->add_line();
      line->set_function_id(FunctionOf(frame));
      line->set_line(frame.line);
    }
    return location;
  }

  uint64_t FunctionOf(const Frame& frame) {
    const FunctionKey key = {
        strings_.Index(frame.function),
        // None rather than the function's own: a reader takes equal names for a linkage name, and
        // simplifies what is simple already ("(anonymous namespace)", "operator()").
        strings_.Index(frame.system_name), strings_.Index(frame.file), frame.start_line};
    auto [it, is_new] = functions_.try_emplace(key);
    if (!is_new) return it->second;
    pb::Function* function = message_.add_function();
    function->set_id(static_cast<uint64_t>(message_.function_size()));
    function->set_name(std::get<0>(key));
    function->set_system_name(std::get<1>(key));
    function->set_filename(std::get<2>(key));
    function->set_start_line(std::get<3>(key));
    return it->second = function->id();
  }

  pb::Profile& message_;
  Strings& strings_;
  Mappings& mappings_;
  FrameSource& source_;
  absl::flat_hash_map<uint64_t, uint64_t> by_address_;
  absl::flat_hash_map<std::string, uint64_t> by_name_;
  absl::flat_hash_map<FunctionKey, uint64_t> functions_;
};

// Samples of equal stack and labels are one.
class Samples {
 public:
  Samples(pb::Profile& message, Strings& strings, Locations& locations)
      : message_(message), strings_(strings), locations_(locations) {}

  void Add(const CpuProfileEntry& entry) {
    Key key;
    bool leaf = true;
    for (uintptr_t pc : entry.pcs) {
      // 0 is no code: a walk's end mark.
      if (pc != 0) key.stack.push_back(locations_.At(leaf ? pc : pc - 1));
      leaf = false;
    }
    if (const std::string_view root = internal::RootName(entry); !root.empty()) {
      key.stack.push_back(locations_.Named(root));
    }
    if (const LabelSet* labels = LabelSet::FromTag(entry.tag.get()); labels != nullptr) {
      for (const Label& label : *labels) {
        key.labels.push_back(strings_.Index(label.key));
        key.labels.push_back(strings_.LabelValueIndex(label.value));
      }
    }
    Values& values = values_[std::move(key)];
    values.samples += entry.samples;
    values.weight += entry.weight;
  }

  // Writes them to the message, in an order that equal profiles share.
  void Finish() {
    std::vector<std::pair<Key, Values>> sorted(values_.begin(), values_.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
      return std::tuple(b.second.weight, b.second.samples,
                        std::tie(a.first.stack, a.first.labels)) <
             std::tuple(a.second.weight, a.second.samples,
                        std::tie(b.first.stack, b.first.labels));
    });
    for (const auto& [key, values] : sorted) {
      pb::Sample* sample = message_.add_sample();
      for (uint64_t location : key.stack) sample->add_location_id(location);
      sample->add_value(values.samples);
      sample->add_value(values.weight);
      for (size_t i = 0; i < key.labels.size(); i += 2) {
        pb::Label* label = sample->add_label();
        label->set_key(key.labels[i]);
        label->set_str(key.labels[i + 1]);
      }
    }
  }

 private:
  struct Key {
    std::vector<uint64_t> stack;  // location ids, leaf first
    std::vector<int64_t> labels;  // key, value, key, value ...

    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H hash, const Key& key) {
      return H::combine(std::move(hash), key.stack, key.labels);
    }
  };
  struct Values {
    int64_t samples = 0;
    int64_t weight = 0;
  };

  pb::Profile& message_;
  Strings& strings_;
  Locations& locations_;
  absl::flat_hash_map<Key, Values> values_;
};

void SetType(Strings& strings, std::string_view type, std::string_view unit, pb::ValueType* to) {
  to->set_type(strings.Index(type));
  to->set_unit(strings.Index(unit));
}

void SetHeader(const CpuProfile& profile, Strings& strings, pb::Profile& message) {
  SetType(strings, "samples", "count", message.add_sample_type());
  SetType(strings, profile.event, profile.unit, message.add_sample_type());
  SetType(strings, "cpu", "nanoseconds", message.mutable_period_type());
  message.set_period(profile.period_ns);
  message.set_default_sample_type(strings.Index(profile.event));
  message.set_time_nanos(absl::ToUnixNanos(profile.start));
  message.set_duration_nanos(absl::ToInt64Nanoseconds(profile.duration));
  for (const std::string& line : QualityReport(profile)) {
    message.add_comment(strings.Index(absl::StrCat("curg: ", line)));
  }
}

}  // namespace

perftools::profiles::Profile BuildProfile(const CpuProfile& profile, FrameSource& frames,
                                          const ProfileBuilderOptions& options) {
  pb::Profile message;
  Strings strings(message);
  SetHeader(profile, strings, message);
  Mappings mappings(message, strings);
  mappings.AddAll(profile.mappings, options.program);
  Locations locations(message, strings, mappings, frames);
  Samples samples(message, strings, locations);
  for (const CpuProfileEntry& entry : profile.entries) samples.Add(entry);
  samples.Finish();
  mappings.Finish();
  return message;
}

}  // namespace curg
