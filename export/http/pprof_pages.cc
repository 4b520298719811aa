// SPDX-License-Identifier: Apache-2.0
#include "export/http/pprof_pages.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "export/folded.h"
#include "export/label_filter.h"
#include "export/large_stack.h"
#include "export/pprof.h"
#include "export/symbolize.h"
#include "profiler/cpu_profiler.h"
#include "profiler/mappings.h"
#include "runtime/go.h"

namespace curg {
namespace internal {
namespace {

constexpr int64_t kDefaultSeconds = 30;
constexpr int64_t kSecondsMax = 366 * 24 * 3600;  // the client leaves sooner
constexpr size_t kSymbolsMax = 100'000;

// Into *value, if the query has `key`.
absl::Status ReadNumber(const UrlQuery& query, const char* key, int least, int most, int* value) {
  if (query.Get(key).empty()) return absl::OkStatus();
  const int64_t number = query.GetInt(key).value_or(int64_t{least} - 1);
  if (number < least || number > most) {
    return absl::InvalidArgumentError(absl::StrCat(
        "invalid value for \"", key, "\" - must be an integer between ", least, " and ", most));
  }
  *value = static_cast<int>(number);
  return absl::OkStatus();
}

absl::StatusOr<CpuProfileOptions> CpuOptions(const DebugRequest& request) {
  CpuProfileOptions options;
  const absl::StatusOr<LabelFilter> filter = LabelFilter::Parse(request.query.All("label"));
  if (!filter.ok()) return filter.status();
  if (!filter->LetsAllThrough()) options.filter = *filter;
  const std::string_view task_ids = request.query.Get("task_ids");
  if (!task_ids.empty() && task_ids != "0" && task_ids != "1") {
    return absl::InvalidArgumentError("invalid value for \"task_ids\" - must be 0 or 1");
  }
  options.task_ids = task_ids == "1";
  options.holder = "a client of /debug/pprof/profile";
  absl::Status status =
      ReadNumber(request.query, "hz", 1, CpuProfileOptions::kRateHzMax, &options.rate_hz);
  if (status.ok()) {
    status = ReadNumber(request.query, "spawners", 0, CpuProfileOptions::kSpawnersMax,
                        &options.spawners);
  }
  if (!status.ok()) return status;
  return options;
}

DebugResponse Encoded(const CpuProfile& profile, std::string_view format) {
  if (format == "folded") {
    Symbolizer symbolizer(profile.mappings);
    return DebugResponse::Text(FoldedStacks(profile, symbolizer));
  }
  absl::StatusOr<std::string> file = EncodePprof(profile);
  if (!file.ok()) return DebugResponse::Error(file.status());
  return DebugResponse::File("profile", *std::move(file));
}

// A program counter as Go's strconv.ParseUint reads it with base 0; 0 when it is none.
uint64_t ParseAddress(absl::string_view word) {
  uint64_t address = 0;
  const bool hex = word.size() > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'X');
  const bool ok = hex ? absl::SimpleHexAtoi(word, &address) : absl::SimpleAtoi(word, &address);
  return ok ? address : 0;
}

std::vector<uint64_t> ParseAddresses(std::string_view text) {
  std::vector<uint64_t> addresses;
  while (!text.empty() && addresses.size() < kSymbolsMax) {
    const size_t plus = text.find('+');
    const std::string_view word = text.substr(0, plus);
    const uint64_t address = ParseAddress({word.data(), word.size()});
    if (address != 0) addresses.push_back(address);
    text = plus == std::string_view::npos ? std::string_view() : text.substr(plus + 1);
  }
  return addresses;
}

// The symbolizer for this process, as long as no module comes or goes: what it has read of a large
// program costs a second, and readers ask address by address.
class SymbolCache {
 public:
  // Calls use(symbolizer), one call at a time. Blocks: the thread.
  template <typename Use>
  void With(const Use& use) {
    const std::lock_guard lock(mutex_);
    std::vector<CpuProfileMapping> mappings = CurrentMappings();
    if (symbolizer_ == nullptr || mappings != mappings_) {
      symbolizer_ = std::make_unique<Symbolizer>(mappings);
      mappings_ = std::move(mappings);
    }
    use(*symbolizer_);
  }

 private:
  std::mutex mutex_;  // held by plain threads alone: see OnLargeStack
  // guarded by mutex_
  std::vector<CpuProfileMapping> mappings_;
  std::unique_ptr<Symbolizer> symbolizer_;
};

}  // namespace

DebugResponse CpuProfilePage(const DebugRequest& request) {
  const absl::StatusOr<CpuProfileOptions> options = CpuOptions(request);
  if (!options.ok()) return DebugResponse::Error(options.status());
  const std::string_view format = request.query.Get("format");
  if (!format.empty() && format != "folded" && format != "pprof") {
    return DebugResponse::Error(400, "invalid value for \"format\" - must be pprof or folded");
  }
  // What is no positive number means 30, as Go has it.
  int64_t seconds = request.query.GetInt("seconds").value_or(0);
  if (seconds <= 0) seconds = kDefaultSeconds;

  absl::StatusOr<CpuProfileSession> session = StartCpuProfile(*options);
  if (!session.ok()) {
    return DebugResponse::Error(
        500, absl::StrCat("Could not enable CPU profiling: ", session.status().message()));
  }
  SleepFor(std::chrono::seconds(std::min(seconds, kSecondsMax)), request.stop);
  const CpuProfile profile = session->Stop();
  if (request.stop.stop_requested()) return DebugResponse::Error(500, "the client is gone");

  DebugResponse response;
  OnLargeStack([&] { response = Encoded(profile, format); });
  return response;
}

DebugResponse CmdlinePage(const DebugRequest&) {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (text.ends_with('\0')) text.pop_back();
  return DebugResponse::Text(std::move(text));
}

DebugResponse SymbolPage(const DebugRequest& request) {
  const std::vector<uint64_t> addresses =
      ParseAddresses(request.method == "POST" ? request.body : request.raw_query);
  // Readers care only whether there are symbols at all.
  std::string text = "num_symbols: 1\n";
  if (addresses.empty()) return DebugResponse::Text(std::move(text));
  static SymbolCache* const cache = new SymbolCache;  // never destroyed
  OnLargeStack([&] {
    cache->With([&](Symbolizer& symbolizer) {
      for (const uint64_t address : addresses) {
        const std::vector<Frame>& frames = symbolizer.FramesAt(address);
        if (frames.empty()) continue;
        absl::StrAppendFormat(&text, "%#x %s\n", address, frames.back().function);
      }
    });
  });
  return DebugResponse::Text(std::move(text));
}

}  // namespace internal

void AddPprofPages(DebugPages& pages) {
  pages.AddProfile(
      {.name = "profile",
       .description =
           "CPU profile. You can specify the duration in the seconds GET parameter, the "
           "rate in hz, label=key=value to see only what has that label, and task_ids=1 to "
           "tell tasks apart. After you "
           "get the profile file, use the go tool pprof command to investigate it.",
       .handler = internal::CpuProfilePage,
       .link_query = ""});
  pages.AddProfile({.name = "cmdline",
                    .description = "The command line invocation of the current program",
                    .handler = internal::CmdlinePage,
                    .link_query = ""});
  pages.AddProfile({.name = "symbol",
                    .description = "Maps given program counters to function names. Counters can be "
                                   "specified in a GET raw query or POST body, multiple counters "
                                   "are separated by '+'.",
                    .handler = internal::SymbolPage,
                    .post = true,
                    .link_query = ""});
}

}  // namespace curg
