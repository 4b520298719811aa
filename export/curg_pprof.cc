// SPDX-License-Identifier: Apache-2.0
//
// curg_pprof: pprof files in the terminal, for people without Go.

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "export/command_line.h"
#include "export/profile_merge.h"
#include "export/profile_text.h"
#include "export/profile_view.h"
#include "export/text.h"
#include "google/protobuf/stubs/logging.h"

ABSL_FLAG(std::string, type, "", "which values: samples, cpu, ...; empty: the file's default");
ABSL_FLAG(std::vector<std::string>, label, {}, "only samples with this label, as key=value or key");
ABSL_FLAG(uint32_t, rows, 30, "rows of a table");
ABSL_FLAG(double, percent, 1.0, "of the tree: leave out what is less than this");
ABSL_FLAG(std::string, output, "", "merge, diff: write a pprof file here");

namespace curg {
namespace {

using ::perftools::profiles::Profile;

constexpr char kUsage[] =
    R"(pprof files in the terminal. Files are what curg, Go and others write, gzipped or not.

  curg_pprof top FILE...               functions, those with most in themselves first
  curg_pprof tags FILE...              what each label's values add up to
  curg_pprof tree FILE...              who called what
  curg_pprof folded FILE...            one line a stack, for flame graph tools
  curg_pprof comments FILE...          what the file says of itself: engine, rate, losses
  curg_pprof merge --output=SUM FILE...
  curg_pprof diff BASE FILE            what has changed; with --output=FILE as a pprof file

Several files are added up first.)";

absl::StatusOr<std::vector<Profile>> ReadAll(const std::vector<std::string>& paths) {
  if (paths.empty()) return absl::InvalidArgumentError("which file? --help says more");
  std::vector<Profile> profiles;
  for (const std::string& path : paths) {
    absl::StatusOr<Profile> profile = ReadPprof(path);
    if (!profile.ok()) return profile.status();
    // Names the file that is broken.
    if (const auto view = ProfileView::Of(*profile); !view.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", view.status().message()));
    }
    profiles.push_back(*std::move(profile));
  }
  return profiles;
}

absl::StatusOr<int> TypeOf(const ProfileView& view) {
  const std::string name = absl::GetFlag(FLAGS_type);
  if (name.empty()) return view.default_type();
  const int type = view.TypeIndex(name);
  if (type >= 0) return type;
  std::vector<std::string> names;
  for (const ProfileView::ValueType& known : view.types()) names.push_back(known.type);
  return absl::InvalidArgumentError(absl::StrCat("there are no values of type ", name,
                                                 "; there are ", absl::StrJoin(names, ", ")));
}

absl::Status Print(const std::string& command, const Profile& profile) {
  absl::StatusOr<ProfileView> view = ProfileView::Of(profile);
  if (!view.ok()) return view.status();
  for (const std::string& label : absl::GetFlag(FLAGS_label)) view->KeepLabel(label);
  const absl::StatusOr<int> type = TypeOf(*view);
  if (!type.ok()) return type.status();
  const ProfileTextOptions options = {.type = *type,
                                      .width = TerminalWidth(),
                                      .rows_max = absl::GetFlag(FLAGS_rows),
                                      .share_min = absl::GetFlag(FLAGS_percent) / 100};
  std::string text;
  if (command == "top" || command == "diff") text = ProfileTop(*view, options);
  if (command == "tags") text = ProfileTags(*view, options);
  if (command == "tree") text = ProfileTree(*view, options);
  if (command == "folded") text = ProfileFolded(*view, *type);
  if (command == "comments") text = absl::StrCat(absl::StrJoin(view->comments(), "\n"), "\n");
  std::fwrite(text.data(), 1, text.size(), stdout);
  return absl::OkStatus();
}

absl::Status Main(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return absl::InvalidArgumentError("what? --help says more");
  const std::string& command = arguments[0];
  constexpr std::string_view kCommands[] = {"top",      "tags",  "tree", "folded",
                                            "comments", "merge", "diff"};
  if (std::find(std::begin(kCommands), std::end(kCommands), command) == std::end(kCommands)) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no command ", command, "; --help lists them"));
  }
  const absl::StatusOr<std::vector<Profile>> profiles =
      ReadAll({arguments.begin() + 1, arguments.end()});
  if (!profiles.ok()) return profiles.status();
  if (command == "diff" && profiles->size() != 2) {
    return absl::InvalidArgumentError("diff takes two files, the older one first");
  }
  const absl::StatusOr<Profile> result =
      command == "diff" ? DiffProfiles((*profiles)[0], (*profiles)[1]) : MergeProfiles(*profiles);
  if (!result.ok()) return result.status();
  const std::string output = absl::GetFlag(FLAGS_output);
  if (command == "merge" && output.empty()) {
    return absl::InvalidArgumentError("merge needs --output=FILE");
  }
  if (!output.empty()) return WritePprof(*result, output);
  return Print(command, *result);
}

}  // namespace
}  // namespace curg

int main(int argc, char** argv) {
  const google::protobuf::LogSilencer quiet;  // errors are told here
  const std::vector<char*> arguments = curg::ParseCommandLine(argc, argv, curg::kUsage);
  const absl::Status status = curg::Main({arguments.begin() + 1, arguments.end()});
  if (status.ok()) return 0;
  std::fprintf(stderr, "curg_pprof: %s\n", std::string(status.message()).c_str());
  return 1;
}
