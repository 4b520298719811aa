// SPDX-License-Identifier: Apache-2.0
#include "examples/wordcount/help.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/flags/usage.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace wordcount {
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

}  // namespace

void PrintHelpIfAsked(int argc, char** argv) {
  bool asked = false;
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    const std::string_view argument = argv[i];
    asked |= argument == "--help" || argument == "-help" || argument == "-h";
  }
  if (!asked) return;
  std::map<std::string, std::string> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (absl::StrContains(flag->Filename(), "examples/wordcount/")) {
      flags.emplace(std::string(name), FlagHelp(*flag));
    }
  }
  std::string help = absl::StrCat(absl::ProgramUsageMessage(), "\n\nFlags, with their defaults:\n");
  for (const auto& [name, text] : flags) help += text;
  std::fwrite(help.data(), 1, help.size(), stdout);
  std::exit(std::fflush(stdout) == 0 ? 0 : 1);
}

}  // namespace wordcount
