// SPDX-License-Identifier: Apache-2.0
#include "export/profile_merge.h"

#include <algorithm>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace curg {
namespace {

namespace pb = ::perftools::profiles;

// Finds equal messages by their bytes, which have no id and no address of one process.
using Index = absl::flat_hash_map<std::string, int>;

// Where a message's ids, which may be any numbers, are in the sum.
using Ids = absl::flat_hash_map<uint64_t, uint64_t>;

class Merger {
 public:
  Merger() { AddString(""); }

  absl::Status Add(const pb::Profile& profile) {
    if (profile.string_table_size() == 0 || !profile.string_table(0).empty()) {
      return absl::InvalidArgumentError("is no pprof profile: its string table is broken");
    }
    profile_ = &profile;
    absl::Status status = AddHeader();
    mappings_.clear();
    functions_.clear();
    locations_.clear();
    for (const pb::Mapping& mapping : profile.mapping()) AddMapping(mapping);
    for (const pb::Function& function : profile.function()) AddFunction(function);
    for (const pb::Location& location : profile.location()) status.Update(AddLocation(location));
    for (const pb::Sample& sample : profile.sample()) status.Update(AddSample(sample));
    if (broken_string_) status.Update(absl::InvalidArgumentError("refers to a string it lacks"));
    return status;
  }

  pb::Profile Take() { return std::move(sum_); }

 private:
  int64_t AddString(const std::string& text) {
    const auto [found, is_new] = strings_.try_emplace(text, sum_.string_table_size());
    if (is_new) sum_.add_string_table(text);
    return found->second;
  }

  int64_t String(int64_t index) {
    if (index == 0) return 0;
    if (index < 0 || index >= profile_->string_table_size()) {
      broken_string_ = true;
      return 0;
    }
    const std::string& text = profile_->string_table(static_cast<int>(index));
    // An empty value that is there: another index than 0, or the reader drops the label.
    if (!text.empty()) return AddString(text);
    if (empty_value_ == 0) {
      empty_value_ = sum_.string_table_size();
      sum_.add_string_table("");
    }
    return empty_value_;
  }

  pb::ValueType Type(const pb::ValueType& from) {
    pb::ValueType type;
    type.set_type(String(from.type()));
    type.set_unit(String(from.unit()));
    return type;
  }

  absl::Status AddHeader() {
    pb::Profile header;
    for (const pb::ValueType& type : profile_->sample_type())
      *header.add_sample_type() = Type(type);
    *header.mutable_period_type() = Type(profile_->period_type());
    if (first_) {
      first_ = false;
      *sum_.mutable_sample_type() = header.sample_type();
      *sum_.mutable_period_type() = header.period_type();
      sum_.set_default_sample_type(String(profile_->default_sample_type()));
      sum_.set_drop_frames(String(profile_->drop_frames()));
      sum_.set_keep_frames(String(profile_->keep_frames()));
      sum_.set_doc_url(String(profile_->doc_url()));
      sum_.set_time_nanos(profile_->time_nanos());
    } else {
      pb::Profile had;
      *had.mutable_sample_type() = sum_.sample_type();
      *had.mutable_period_type() = sum_.period_type();
      if (had.SerializeAsString() != header.SerializeAsString()) {
        return absl::InvalidArgumentError("has other sample types than the first one");
      }
      sum_.set_time_nanos(std::min(sum_.time_nanos(), profile_->time_nanos()));
    }
    sum_.set_duration_nanos(sum_.duration_nanos() + profile_->duration_nanos());
    sum_.set_period(std::max(sum_.period(), profile_->period()));
    for (const int64_t comment : profile_->comment()) {
      const int64_t text = String(comment);
      const auto& all = sum_.comment();
      if (std::find(all.begin(), all.end(), text) == all.end()) sum_.add_comment(text);
    }
    return absl::OkStatus();
  }

  void AddMapping(const pb::Mapping& from) {
    pb::Mapping mapping = from;
    mapping.set_id(0);
    mapping.set_filename(String(from.filename()));
    mapping.set_build_id(String(from.build_id()));
    pb::Mapping key;
    key.set_file_offset(from.file_offset());
    key.set_memory_limit(from.memory_limit() - from.memory_start());
    if (from.build_id() != 0) {
      key.set_build_id(mapping.build_id());
    } else {
      key.set_filename(mapping.filename());
    }
    const auto [found, is_new] =
        mapping_index_.try_emplace(key.SerializeAsString(), sum_.mapping_size());
    if (is_new) {
      *sum_.add_mapping() = mapping;
      sum_.mutable_mapping()->rbegin()->set_id(static_cast<uint64_t>(sum_.mapping_size()));
    }
    pb::Mapping& kept = *sum_.mutable_mapping(found->second);
    kept.set_has_functions(kept.has_functions() && from.has_functions());
    kept.set_has_filenames(kept.has_filenames() && from.has_filenames());
    kept.set_has_line_numbers(kept.has_line_numbers() && from.has_line_numbers());
    kept.set_has_inline_frames(kept.has_inline_frames() && from.has_inline_frames());
    mappings_[from.id()] = {kept.id(), kept.memory_start() - from.memory_start()};
  }

  void AddFunction(const pb::Function& from) {
    pb::Function function;
    function.set_name(String(from.name()));
    function.set_system_name(String(from.system_name()));
    function.set_filename(String(from.filename()));
    function.set_start_line(from.start_line());
    const auto [found, is_new] =
        function_index_.try_emplace(function.SerializeAsString(), sum_.function_size());
    if (is_new) {
      *sum_.add_function() = function;
      sum_.mutable_function()->rbegin()->set_id(static_cast<uint64_t>(sum_.function_size()));
    }
    functions_[from.id()] = static_cast<uint64_t>(found->second) + 1;
  }

  absl::Status AddLocation(const pb::Location& from) {
    pb::Location location = from;
    location.set_id(0);
    if (from.mapping_id() != 0) {
      const auto mapping = mappings_.find(from.mapping_id());
      if (mapping == mappings_.end()) {
        return absl::InvalidArgumentError("refers to a mapping it lacks");
      }
      location.set_mapping_id(mapping->second.id);
      location.set_address(from.address() + mapping->second.moved);
    }
    for (pb::Line& line : *location.mutable_line()) {
      const auto function = functions_.find(line.function_id());
      if (function == functions_.end()) {
        return absl::InvalidArgumentError("refers to a function it lacks");
      }
      line.set_function_id(function->second);
    }
    const auto [found, is_new] =
        location_index_.try_emplace(location.SerializeAsString(), sum_.location_size());
    if (is_new) {
      *sum_.add_location() = location;
      sum_.mutable_location()->rbegin()->set_id(static_cast<uint64_t>(sum_.location_size()));
    }
    locations_[from.id()] = static_cast<uint64_t>(found->second) + 1;
    return absl::OkStatus();
  }

  absl::Status AddSample(const pb::Sample& from) {
    if (from.value_size() != sum_.sample_type_size()) {
      return absl::InvalidArgumentError("has samples with more or fewer values than types");
    }
    pb::Sample sample;
    for (const uint64_t id : from.location_id()) {
      const auto location = locations_.find(id);
      if (location == locations_.end()) {
        return absl::InvalidArgumentError("refers to a location it lacks");
      }
      sample.add_location_id(location->second);
    }
    for (const pb::Label& label : from.label()) {
      pb::Label& copy = *sample.add_label();
      copy.set_key(String(label.key()));
      copy.set_str(String(label.str()));
      copy.set_num(label.num());
      copy.set_num_unit(String(label.num_unit()));
    }
    const auto [found, is_new] =
        sample_index_.try_emplace(sample.SerializeAsString(), sum_.sample_size());
    if (is_new) {
      *sample.mutable_value() = from.value();
      *sum_.add_sample() = std::move(sample);
    } else {
      auto& values = *sum_.mutable_sample(found->second)->mutable_value();
      for (int i = 0; i < values.size(); ++i) values[i] += from.value(i);
    }
    return absl::OkStatus();
  }

  struct Moved {
    uint64_t id = 0;
    uint64_t moved = 0;  // to be added to addresses, modulo 2^64
  };

  pb::Profile sum_;
  bool first_ = true;
  bool broken_string_ = false;
  int64_t empty_value_ = 0;
  absl::flat_hash_map<std::string, int64_t> strings_;
  Index mapping_index_;
  Index function_index_;
  Index location_index_;
  Index sample_index_;
  // Of the message that is being added.
  const pb::Profile* profile_ = nullptr;
  absl::flat_hash_map<uint64_t, Moved> mappings_;
  Ids functions_;
  Ids locations_;
};

}  // namespace

absl::StatusOr<pb::Profile> MergeProfiles(absl::Span<const pb::Profile> profiles) {
  if (profiles.empty()) return absl::InvalidArgumentError("there are no profiles to merge");
  Merger merger;
  for (size_t i = 0; i < profiles.size(); ++i) {
    if (const absl::Status status = merger.Add(profiles[i]); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("profile ", i + 1, " of ", profiles.size(), " ", status.message()));
    }
  }
  return merger.Take();
}

}  // namespace curg
