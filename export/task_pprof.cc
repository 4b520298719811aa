// SPDX-License-Identifier: Apache-2.0
#include "export/task_pprof.h"

#include <limits.h>
#include <unistd.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "export/gzip.h"
#include "export/large_stack.h"
#include "export/output_file.h"
#include "export/pprof_parts.h"
#include "export/symbolize.h"
#include "export/task_pprof_message.h"
#include "labels/label_set.h"

namespace curg {
namespace {

namespace pb = ::perftools::profiles;

using internal::Locations;
using internal::Mappings;
using internal::Strings;

// The path of this program as the kernel names it in mappings.
std::string ProgramPath() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  return size <= 0 ? "" : std::string(path, static_cast<size_t>(size));
}

void AddLabel(Strings& strings, std::string_view key, std::string_view value, pb::Sample* sample) {
  pb::Label* const label = sample->add_label();
  label->set_key(strings.Index(key));
  label->set_str(strings.LabelValueIndex(value));
}

void AddGroup(const TaskProfile& profile, const TaskGroup& group, Strings& strings,
              Locations& locations, pb::Profile& message) {
  pb::Sample* const sample = message.add_sample();
  sample->add_value(group.count);
  bool leaf = true;
  for (const uintptr_t pc : profile.stacks[group.stack]) {
    sample->add_location_id(locations.At(leaf ? pc : pc - 1));
    leaf = false;
  }
  if (leaf) sample->add_location_id(locations.Named("curg::TaskNotReached"));
  if (const LabelSet* labels = LabelSet::FromTag(profile.tags[group.tag].get())) {
    for (const Label& label : *labels) AddLabel(strings, label.key, label.value, sample);
  }
  AddLabel(strings, "curg.status", TaskStatusName(group.status), sample);
  if (group.wait != internal::WaitReason::kNone) {
    AddLabel(strings, "curg.wait", internal::WaitReasonName(group.wait), sample);
  }
}

absl::StatusOr<std::string> Encode(const TaskProfile& profile, FrameSource& frames) {
  std::string bytes;
  if (!BuildTaskPprof(profile, frames, ProgramPath()).SerializeToString(&bytes)) {
    return absl::ResourceExhaustedError("the profile is larger than protobuf can write (2 GiB)");
  }
  return internal::Gzip(bytes);
}

}  // namespace

perftools::profiles::Profile BuildTaskPprof(const TaskProfile& profile, FrameSource& frames,
                                            const std::string& program) {
  pb::Profile message;
  Strings strings(message);
  internal::SetType(strings, "tasks", "count", message.add_sample_type());
  internal::SetType(strings, "tasks", "count", message.mutable_period_type());
  message.set_period(1);
  message.set_default_sample_type(strings.Index("tasks"));
  message.set_time_nanos(absl::ToUnixNanos(profile.time));
  if (profile.matching != profile.total) {
    message.add_comment(strings.Index(
        absl::StrCat("curg: ", profile.matching, " of ", profile.total, " tasks match")));
  }
  if (profile.unreached > 0) {
    message.add_comment(
        strings.Index(absl::StrCat("curg: ", profile.unreached, " tasks could not be reached")));
  }
  Mappings mappings(message, strings);
  mappings.AddAll(profile.mappings, program);
  Locations locations(message, strings, mappings, frames);
  for (const TaskGroup& group : profile.groups)
    AddGroup(profile, group, strings, locations, message);
  mappings.Finish();
  return message;
}

absl::StatusOr<std::string> EncodeTaskPprof(const TaskProfile& profile, FrameSource& frames) {
  absl::StatusOr<std::string> result;
  internal::OnLargeStack([&] { result = Encode(profile, frames); });
  return result;
}

absl::StatusOr<std::string> EncodeTaskPprof(const TaskProfile& profile) {
  Symbolizer symbolizer(profile.mappings, {.remember = true});
  return EncodeTaskPprof(profile, symbolizer);
}

absl::Status WriteTaskPprof(const TaskProfile& profile, const std::string& path) {
  absl::StatusOr<internal::OutputFile> file = internal::OutputFile::Open(path);
  if (!file.ok()) return file.status();
  const absl::StatusOr<std::string> encoded = EncodeTaskPprof(profile);
  if (!encoded.ok()) return encoded.status();
  return file->Commit(*encoded);
}

}  // namespace curg
