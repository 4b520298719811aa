// SPDX-License-Identifier: Apache-2.0
//
// flame: pprof files as one page for the browser, or as one file.
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "export/command_line.h"
#include "export/output_file.h"
#include "export/profile.pb.h"
#include "export/profile_merge.h"
#include "export/profile_view.h"
#include "export/web/flame_graph.h"

ABSL_FLAG(std::string, html, "",
          "write the flame graph here: a page on its own, which any browser opens");
ABSL_FLAG(std::string, merged, "", "write the sum of all files here, for `go tool pprof`");
ABSL_FLAG(std::string, title, "", "the page's title; empty: the files' names");

namespace curg {
namespace {

using ::perftools::profiles::Profile;

absl::Status Main(const std::vector<std::string>& paths) {
  const std::string html = absl::GetFlag(FLAGS_html);
  const std::string merged = absl::GetFlag(FLAGS_merged);
  if (paths.empty() || (html.empty() && merged.empty())) {
    return absl::InvalidArgumentError(
        "say what to read and what to write, as in: flame --html=cpu.html cpu.pb.gz");
  }
  std::vector<Profile> profiles;
  for (const std::string& path : paths) {
    absl::StatusOr<Profile> profile = ReadPprof(path);
    if (!profile.ok()) return profile.status();
    profiles.push_back(*std::move(profile));
  }
  const absl::StatusOr<Profile> sum = MergeProfiles(profiles);
  if (!sum.ok()) return sum.status();
  if (!merged.empty()) {
    if (absl::Status status = WritePprof(*sum, merged); !status.ok()) return status;
  }
  if (html.empty()) return absl::OkStatus();
  const std::string title = absl::GetFlag(FLAGS_title);
  const std::string more = paths.size() > 1 ? absl::StrCat(" and ", paths.size() - 1, " more") : "";
  absl::StatusOr<internal::OutputFile> file = internal::OutputFile::Open(html);
  if (!file.ok()) return file.status();
  return file->Commit(FlamePageOf(*sum, title.empty() ? absl::StrCat(paths[0], more) : title));
}

}  // namespace
}  // namespace curg

int main(int argc, char** argv) {
  const std::vector<char*> arguments =
      curg::ParseCommandLine(argc, argv,
                             "pprof files as one page for the browser, or as one file.\n\n"
                             "  flame --html=cpu.html cpu.pb.gz\n"
                             "  flame --merged=all.pb.gz --html=all.html a.pb.gz b.pb.gz");
  const absl::Status status = curg::Main({arguments.begin() + 1, arguments.end()});
  if (status.ok()) return 0;
  std::fprintf(stderr, "flame: %s\n", std::string(status.message()).c_str());
  return 1;
}
