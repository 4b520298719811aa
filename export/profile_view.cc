// SPDX-License-Identifier: Apache-2.0
#include "export/profile_view.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "export/gzip.h"
#include "export/output_file.h"
#include "export/profile_merge.h"

namespace curg {
namespace {

namespace pb = ::perftools::profiles;

constexpr size_t kSizeMax = size_t{1} << 30;

absl::Status Broken(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("is no whole pprof profile: it lacks ",
                                                 absl::string_view(what.data(), what.size())));
}

}  // namespace

// Reads one message. An index or id that leads nowhere is remembered, and makes the whole invalid.
class ProfileView::Reader {
 public:
  explicit Reader(const pb::Profile& profile) : profile_(profile) {
    for (const pb::Function& function : profile.function()) functions_[function.id()] = &function;
    for (const pb::Mapping& mapping : profile.mapping()) mappings_[mapping.id()] = &mapping;
  }

  absl::StatusOr<ProfileView> Read() {
    for (const pb::ValueType& type : profile_.sample_type()) {
      view_.types_.push_back({Text(type.type()), Text(type.unit())});
    }
    for (const int64_t comment : profile_.comment()) view_.comments_.push_back(Text(comment));
    view_.duration_ns_ = profile_.duration_nanos();
    const int named = view_.TypeIndex(Text(profile_.default_sample_type()));
    view_.default_type_ = named >= 0 ? named : static_cast<int>(view_.types_.size()) - 1;
    for (const pb::Location& location : profile_.location()) AddLocation(location);
    for (const pb::Sample& sample : profile_.sample()) AddSample(sample);
    if (view_.types_.empty()) return Broken("sample types");
    if (!missing_.empty()) return Broken(missing_);
    return std::move(view_);
  }

 private:
  const std::string& Text(int64_t index) {
    if (index >= 0 && index < profile_.string_table_size()) {
      return profile_.string_table(static_cast<int>(index));
    }
    static const std::string none;
    if (index != 0) missing_ = "a string";
    return none;
  }

  uint32_t Name(const std::string& text) {
    const auto [it, is_new] = names_.try_emplace(text, static_cast<uint32_t>(view_.names_.size()));
    if (is_new) view_.names_.push_back(text);
    return it->second;
  }

  std::string AddressName(const pb::Location& location) {
    std::string name = absl::StrCat("0x", absl::Hex(location.address()));
    if (const auto mapping = mappings_.find(location.mapping_id()); mapping != mappings_.end()) {
      const std::string& file = Text(mapping->second->filename());
      if (!file.empty()) absl::StrAppend(&name, " (", file.substr(file.rfind('/') + 1), ")");
    }
    return name;
  }

  void AddLocation(const pb::Location& location) {
    std::vector<uint32_t>& frames = locations_[location.id()];
    frames.clear();
    for (int i = location.line_size() - 1; i >= 0; --i) {
      const auto function = functions_.find(location.line(i).function_id());
      if (function == functions_.end()) {
        missing_ = "a function";
      } else if (const std::string& name = Text(function->second->name()); !name.empty()) {
        frames.push_back(Name(name));
      }
    }
    if (frames.empty()) frames.push_back(Name(AddressName(location)));
  }

  void AddSample(const pb::Sample& from) {
    Sample sample;
    for (int i = from.location_id_size() - 1; i >= 0; --i) {
      const auto location = locations_.find(from.location_id(i));
      if (location == locations_.end()) {
        missing_ = "a location";
        continue;
      }
      sample.stack.insert(sample.stack.end(), location->second.begin(), location->second.end());
    }
    for (const pb::Label& label : from.label()) {
      std::string value =
          label.str() != 0
              ? Text(label.str())
              : absl::StrCat(label.num(), label.num_unit() != 0 ? " " : "", Text(label.num_unit()));
      sample.labels.emplace_back(Text(label.key()), std::move(value));
    }
    std::sort(sample.labels.begin(), sample.labels.end());
    sample.values.assign(from.value().begin(), from.value().end());
    if (sample.values.size() != view_.types_.size()) missing_ = "a value";
    view_.samples_.push_back(std::move(sample));
  }

  const pb::Profile& profile_;
  ProfileView view_;
  std::string_view missing_;
  absl::flat_hash_map<uint64_t, const pb::Function*> functions_;
  absl::flat_hash_map<uint64_t, const pb::Mapping*> mappings_;
  absl::flat_hash_map<uint64_t, std::vector<uint32_t>> locations_;
  absl::flat_hash_map<std::string, uint32_t> names_;
};

absl::StatusOr<ProfileView> ProfileView::Of(const pb::Profile& profile) {
  return Reader(profile).Read();
}

int ProfileView::TypeIndex(std::string_view name) const {
  for (size_t i = 0; i < types_.size(); ++i) {
    if (types_[i].type == name) return static_cast<int>(i);
  }
  return -1;
}

int64_t ProfileView::Total(int type) const {
  int64_t total = 0;
  for (const Sample& sample : samples_) total += sample.values[static_cast<size_t>(type)];
  return total;
}

void ProfileView::KeepLabel(std::string_view label) {
  const size_t equals = label.find('=');
  const std::string_view key = label.substr(0, equals);
  std::erase_if(samples_, [&](const Sample& sample) {
    return std::none_of(sample.labels.begin(), sample.labels.end(), [&](const auto& pair) {
      return pair.first == key &&
             (equals == std::string_view::npos || pair.second == label.substr(equals + 1));
    });
  });
}

absl::StatusOr<pb::Profile> ReadPprof(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (file.is_open()) content << file.rdbuf();
  if (!file.good()) return absl::ErrnoToStatus(errno, path);
  std::string bytes = std::move(content).str();
  if (bytes.starts_with("\x1f\x8b")) {
    absl::StatusOr<std::string> message = internal::Gunzip(bytes, kSizeMax);
    if (!message.ok()) {
      return absl::Status(message.status().code(),
                          absl::StrCat(path, ": ", message.status().message()));
    }
    bytes = *std::move(message);
  }
  pb::Profile profile;
  if (bytes.empty() || !profile.ParseFromString(bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        ": is no pprof file (protobuf, as curg, Go and `curl .../debug/pprof/profile` make)"));
  }
  return profile;
}

absl::Status WritePprof(const pb::Profile& profile, const std::string& path) {
  absl::StatusOr<internal::OutputFile> file = internal::OutputFile::Open(path);
  if (!file.ok()) return file.status();
  const absl::StatusOr<std::string> bytes = internal::Gzip(profile.SerializeAsString());
  return bytes.ok() ? file->Commit(*bytes) : bytes.status();
}

absl::StatusOr<pb::Profile> DiffProfiles(const pb::Profile& base, const pb::Profile& profile) {
  pb::Profile negative = base;
  for (pb::Sample& sample : *negative.mutable_sample()) {
    for (int64_t& value : *sample.mutable_value()) value = -value;
  }
  const pb::Profile both[] = {profile, negative};
  absl::StatusOr<pb::Profile> diff = MergeProfiles(both);
  if (!diff.ok()) return diff;
  diff->clear_duration_nanos();  // a sum of both, which would say nothing
  auto& samples = *diff->mutable_sample();
  samples.erase(std::remove_if(samples.begin(), samples.end(),
                               [](const pb::Sample& sample) {
                                 return std::all_of(sample.value().begin(), sample.value().end(),
                                                    [](int64_t value) { return value == 0; });
                               }),
                samples.end());
  return diff;
}

}  // namespace curg
