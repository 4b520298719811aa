// SPDX-License-Identifier: Apache-2.0
#include "export/web/flame_graph.h"

#include <google/protobuf/util/json_util.h>

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "export/web/flame_page.h"

namespace curg {
namespace {

namespace pb = ::perftools::profiles;

class Builder {
 public:
  explicit Builder(const pb::Profile& profile) : profile_(profile) {
    for (const pb::Function& function : profile.function()) functions_[function.id()] = &function;
    for (const pb::Mapping& mapping : profile.mapping()) mappings_[mapping.id()] = &mapping;
  }

  web::FlameGraph Build() {
    for (const pb::ValueType& type : profile_.sample_type()) {
      if (profile_.default_sample_type() != 0 && type.type() == profile_.default_sample_type()) {
        graph_.set_default_type(graph_.types_size());
      }
      web::ValueType& out = *graph_.add_types();
      out.set_type(Text(type.type()));
      out.set_unit(Text(type.unit()));
    }
    // As pprof: the last one, unless the profile says which.
    if (profile_.default_sample_type() == 0 && graph_.types_size() > 0) {
      graph_.set_default_type(graph_.types_size() - 1);
    }
    graph_.set_time_ms(static_cast<double>(profile_.time_nanos()) / 1e6);
    graph_.set_duration_ms(static_cast<double>(profile_.duration_nanos()) / 1e6);
    for (const int64_t comment : profile_.comment()) graph_.add_comments(Text(comment));
    for (const pb::Location& location : profile_.location()) AddLocation(location);
    for (const pb::Sample& sample : profile_.sample()) AddSample(sample);
    return std::move(graph_);
  }

 private:
  std::string Text(int64_t index) const {
    return index > 0 && index < profile_.string_table_size()
               ? profile_.string_table(static_cast<int>(index))
               : "";
  }

  int32_t AddFrame(std::string name, std::string file) {
    const auto [found, is_new] =
        frame_index_.try_emplace(absl::StrCat(name, "\n", file), graph_.frames_size());
    if (is_new) {
      web::Frame& frame = *graph_.add_frames();
      frame.set_name(std::move(name));
      frame.set_file(std::move(file));
    }
    return found->second;
  }

  // Its frames, outermost first.
  void AddLocation(const pb::Location& location) {
    std::vector<int32_t>& frames = locations_[location.id()];
    for (auto line = location.line().rbegin(); line != location.line().rend(); ++line) {
      const auto function = functions_.find(line->function_id());
      if (function == functions_.end()) continue;
      frames.push_back(
          AddFrame(Text(function->second->name()), Text(function->second->filename())));
    }
    if (!frames.empty()) return;
    const auto mapping = mappings_.find(location.mapping_id());
    const std::string file = mapping == mappings_.end() ? "" : Text(mapping->second->filename());
    const std::string base = file.substr(file.rfind('/') + 1);
    frames.push_back(AddFrame(absl::StrCat("0x", absl::Hex(location.address()),
                                           base.empty() ? "" : absl::StrCat(" (", base, ")")),
                              file));
  }

  int32_t AddLabels(const pb::Sample& sample) {
    web::LabelSet set;
    std::string key;
    for (const pb::Label& label : sample.label()) {
      const std::string value = label.str() != 0
                                    ? Text(label.str())
                                    : absl::StrCat(label.num(), " ", Text(label.num_unit()));
      absl::StrAppend(&key, Text(label.key()), "\n", value.size(), "\n", value, "\n");
      (*set.mutable_labels())[Text(label.key())] = value;
    }
    const auto [found, is_new] = label_index_.try_emplace(key, graph_.label_sets_size());
    if (is_new) *graph_.add_label_sets() = std::move(set);
    return found->second;
  }

  void AddSample(const pb::Sample& from) {
    web::Sample sample;
    sample.set_label_set(AddLabels(from));
    for (auto id = from.location_id().rbegin(); id != from.location_id().rend(); ++id) {
      for (const int32_t frame : locations_[*id]) sample.add_frames(frame);
    }
    const auto [found, is_new] =
        sample_index_.try_emplace(sample.SerializeAsString(), graph_.samples_size());
    web::Sample& sum = is_new ? *graph_.add_samples() : *graph_.mutable_samples(found->second);
    if (is_new) sum = std::move(sample);
    for (int i = 0; i < graph_.types_size() && i < from.value_size(); ++i) {
      if (is_new) sum.add_values(0);
      sum.set_values(i, sum.values(i) + static_cast<double>(from.value(i)));
    }
  }

  const pb::Profile& profile_;
  web::FlameGraph graph_;
  absl::flat_hash_map<uint64_t, const pb::Function*> functions_;
  absl::flat_hash_map<uint64_t, const pb::Mapping*> mappings_;
  absl::flat_hash_map<uint64_t, std::vector<int32_t>> locations_;
  absl::flat_hash_map<std::string, int32_t> frame_index_;
  absl::flat_hash_map<std::string, int32_t> label_index_;
  absl::flat_hash_map<std::string, int> sample_index_;
};

std::string Json(const web::FlameGraph& graph) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string json;
  // Fails for no message of ours: it has no Any and no Timestamp.
  (void)google::protobuf::util::MessageToJsonString(graph, &json, options);
  return json;
}

}  // namespace

web::FlameGraph BuildFlameGraph(const pb::Profile& profile) { return Builder(profile).Build(); }

std::string FlameGraphJson(const pb::Profile& profile) { return Json(BuildFlameGraph(profile)); }

std::string_view FlamePage() { return internal::kFlamePage; }

std::string FlamePageOf(const pb::Profile& profile, std::string_view title) {
  web::FlameGraph graph = BuildFlameGraph(profile);
  graph.set_title(std::string(title));
  std::string page(internal::kFlamePage);
  constexpr std::string_view kPlace = "<noscript>";  // before the scripts, which look for it
  // "</script>" in a name would end the element; in JSON "\u003c" is the same text.
  return page.insert(
      page.find(kPlace),
      absl::StrCat("<script type=\"application/json\" id=\"data\">",
                   absl::StrReplaceAll(Json(graph), {{"<", "\\u003c"}}), "</script>\n"));
}

}  // namespace curg
