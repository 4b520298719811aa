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
#include "export/pprof_parts.h"
#include "export/pseudo_names.h"
#include "export/quality.h"
#include "labels/label_set.h"

namespace curg {
namespace {

namespace pb = ::perftools::profiles;

// What the profiler does within a task or thread that is none of its own: pprof gives it to whoever
// is above, as if the profiler were not there. What its writer does stays, below ProfWriter::Run.
constexpr std::string_view kDropFrames =
    "curg::internal::(CpuMeter::.*|OnSigprof|SpawnStack.*|ProfWriter::DrainAll|ProfWriter::Look)";
constexpr std::string_view kKeepFrames = "curg::internal::CpuMeter::(Start|Stop|Read)";

using internal::Locations;
using internal::Mappings;
using internal::SetType;
using internal::Strings;

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
    key.task_id = entry.task_id;
    Values& values = values_[std::move(key)];
    values.samples += entry.samples;
    values.weight += entry.weight;
  }

  // Writes them to the message, in an order that equal profiles share.
  void Finish() {
    std::vector<std::pair<Key, Values>> sorted(values_.begin(), values_.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
      return std::tuple(b.second.weight, b.second.samples,
                        std::tie(a.first.stack, a.first.labels, a.first.task_id)) <
             std::tuple(a.second.weight, a.second.samples,
                        std::tie(b.first.stack, b.first.labels, b.first.task_id));
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
      if (key.task_id != 0) {
        pb::Label* label = sample->add_label();
        label->set_key(strings_.Index("task_id"));
        label->set_num(static_cast<int64_t>(key.task_id));
        label->set_num_unit(strings_.Index("id"));
      }
    }
  }

 private:
  struct Key {
    std::vector<uint64_t> stack;  // location ids, leaf first
    std::vector<int64_t> labels;  // key, value, key, value ...
    uint64_t task_id = 0;

    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H hash, const Key& key) {
      return H::combine(std::move(hash), key.stack, key.labels, key.task_id);
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

void SetHeader(const CpuProfile& profile, Strings& strings, pb::Profile& message) {
  SetType(strings, "samples", "count", message.add_sample_type());
  SetType(strings, profile.event, profile.unit, message.add_sample_type());
  SetType(strings, "cpu", "nanoseconds", message.mutable_period_type());
  message.set_period(profile.period_ns);
  message.set_drop_frames(strings.Index(kDropFrames));
  message.set_keep_frames(strings.Index(kKeepFrames));
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
