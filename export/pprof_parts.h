// SPDX-License-Identifier: Apache-2.0
//
// What every message of pprof's is made of: the string table, mappings, locations with their
// functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "export/frame.h"
#include "export/profile.pb.h"
#include "export/pseudo_names.h"
#include "profiler/cpu_profile.h"

namespace curg::internal {

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

inline Frame NamedFrame(std::string_view name) {
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
    const std::string_view pseudo = PseudoName(address);
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

inline void SetType(Strings& strings, std::string_view type, std::string_view unit,
                    pb::ValueType* to) {
  to->set_type(strings.Index(type));
  to->set_unit(strings.Index(unit));
}

}  // namespace curg::internal
