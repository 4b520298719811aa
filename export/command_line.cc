// SPDX-License-Identifier: Apache-2.0
#include "export/command_line.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/flags/usage.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace curg {
namespace {

constexpr size_t kWidth = 100;

// "  --name=default" and, below it, the meaning in lines that fit.
std::string FlagHelp(const absl::CommandLineFlag& flag) {
  std::string help = absl::StrCat("  --", flag.Name());
  if (!flag.DefaultValue().empty()) absl::StrAppend(&help, "=", flag.DefaultValue());
  constexpr absl::string_view kIndent = "\n     ";
  std::string line(kIndent);
  for (absl::string_view word : absl::StrSplit(flag.Help(), ' ')) {
    if (line.size() + 1 + word.size() > kWidth) {
      help += line;
      line = std::string(kIndent);
    }
    absl::StrAppend(&line, " ", word);
  }
  return absl::StrCat(help, line, "\n");
}

bool HelpIsAsked(int argc, char** argv) {
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-help" || argument == "-h") return true;
  }
  return false;
}

[[noreturn]] void PrintHelp() {
  std::map<std::string, std::string> flags;  // by name
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    // Abseil has some of its own, which are of no use to anybody here.
    if (absl::StrContains(flag->Filename(), "absl/flags/")) continue;
    flags.emplace(std::string(name), FlagHelp(*flag));
  }
  std::string help = absl::StrCat(absl::ProgramUsageMessage(), "\n");
  if (!flags.empty()) absl::StrAppend(&help, "\nFlags, with their defaults:\n");
  for (const auto& [name, text] : flags) help += text;
  std::fwrite(help.data(), 1, help.size(), stdout);
  std::exit(std::fflush(stdout) == 0 ? 0 : 1);  // NOLINT(concurrency-mt-unsafe): one thread
}

}  // namespace

std::vector<char*> ParseCommandLine(int argc, char** argv, std::string_view usage) {
  absl::SetProgramUsageMessage({usage.data(), usage.size()});
  if (HelpIsAsked(argc, argv)) PrintHelp();
  return absl::ParseCommandLine(argc, argv);
}

}  // namespace curg
