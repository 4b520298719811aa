// SPDX-License-Identifier: Apache-2.0
#include "export/http/pprof_pages.h"

#include <chrono>
#include <cstdio>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "export/gzip.h"
#include "export/profile.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "labels/labels.h"
#include "profiler/cpu_profiler.h"
#include "runtime/go.h"

namespace curg {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::StartsWith;
using ::testing::Value;

DebugResponse Get(std::string_view target) {
  DebugPages pages;
  AddPprofPages(pages);
  return pages.Handle(DebugRequest::Get(target));
}

[[gnu::noinline]] uint64_t BurnUntil(const std::stop_token& stop) {
  uint64_t sum = 0;
  while (!stop.stop_requested()) {
    for (int i = 0; i < 100'000; ++i) sum += static_cast<uint64_t>(i) * sum + 1;
    Yield();
  }
  return sum;
}

// What a page says while two tasks burn CPU for two tenants.
DebugResponse GetWhileBurning(std::string_view target) {
  return Run(RuntimeOptions{.workers = 2}, [target] {
    std::stop_source stop;
    auto acme = Go({.tag = Labels::Of({{"tenant", "acme"}})},
                   [token = stop.get_token()] { return BurnUntil(token); });
    auto initech = Go({.tag = Labels::Of({{"tenant", "initech"}})},
                      [token = stop.get_token()] { return BurnUntil(token); });
    DebugResponse response = Get(target);
    stop.request_stop();
    acme.Join();
    initech.Join();
    return response;
  });
}

// A profile that was taken meanwhile: longer and longer ones until `shows(response)`, since a busy
// machine may not run these tasks for a second.
template <typename Shows>
DebugResponse ProfileWhileBurning(const std::string& options, Shows shows) {
  DebugResponse response;
  for (const int seconds : {1, 4, 16}) {
    response = GetWhileBurning(absl::StrCat("/debug/pprof/profile?seconds=", seconds, options));
    if (response.status != 200 || shows(response)) break;
  }
  return response;
}

perftools::profiles::Profile ProfileOf(const DebugResponse& response) {
  EXPECT_EQ(response.status, 200) << response.body;
  perftools::profiles::Profile profile;
  EXPECT_TRUE(profile.ParseFromString(internal::Gunzip(response.body, 64 << 20).value_or("")));
  return profile;
}

// The different label sets of a response's samples.
std::set<std::map<std::string, std::string>> LabelsOf(const DebugResponse& response) {
  const perftools::profiles::Profile profile = ProfileOf(response);
  std::set<std::map<std::string, std::string>> sets;
  for (const auto& sample : profile.sample()) {
    std::map<std::string, std::string> labels;
    for (const auto& label : sample.label()) {
      labels[profile.string_table(static_cast<int>(label.key()))] =
          label.str() != 0 ? profile.string_table(static_cast<int>(label.str()))
                           : std::to_string(label.num());
    }
    sets.insert(labels);
  }
  return sets;
}

TEST(ProfilePageTest, IsAPprofFileWithLabels) {
  const auto both = AllOf(Contains("acme"), Contains("initech"));
  const DebugResponse response = ProfileWhileBurning("&hz=200", [&](const DebugResponse& now) {
    return Value(ProfileOf(now).string_table(), both);
  });
  const perftools::profiles::Profile profile = ProfileOf(response);
  EXPECT_EQ(response.Header("Content-Type"), "application/octet-stream");
  EXPECT_EQ(response.Header("Content-Disposition"), "attachment; filename=\"profile\"");
  EXPECT_EQ(response.Header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(profile.period(), 5'000'000);
  EXPECT_GT(profile.sample_size(), 0);
  EXPECT_THAT(profile.string_table(), both);
}

TEST(ProfilePageTest, FoldsStacksOfWhatHasTheLabel) {
  const auto burning = ContainsRegex("BurnUntil[^\n]* [0-9]+\n");
  const DebugResponse response =
      ProfileWhileBurning("&format=folded&label=tenant=acme",
                          [&](const DebugResponse& now) { return Value(now.body, burning); });
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.Header("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_THAT(response.body, burning);
  const DebugResponse none =
      GetWhileBurning("/debug/pprof/profile?seconds=1&format=folded&label=tenant=nobody");
  EXPECT_EQ(none.body, "");
}

// The tasks are spawned before the profile: of these the spawn site is known.
TEST(ProfilePageTest, ShowsWhoSpawnedTheTasks) {
  const auto spawned =
      ContainsRegex("GetWhileBurning[^\n]*;curg::SpawnedBy;[^\n]*BurnUntil[^\n]* [0-9]+\n");
  const DebugResponse folded =
      ProfileWhileBurning("&format=folded&spawners=1",
                          [&](const DebugResponse& now) { return Value(now.body, spawned); });
  EXPECT_THAT(folded.body, spawned);
  const auto spawner = Contains("curg::SpawnedBy");
  const DebugResponse response = ProfileWhileBurning("&spawners=1", [&](const DebugResponse& now) {
    return Value(ProfileOf(now).string_table(), spawner);
  });
  EXPECT_THAT(ProfileOf(response).string_table(), spawner);
}

// Two clients, each with a filter of its own, at the same time.
TEST(ProfilePageTest, ConcurrentProfilesHaveTheirOwnFilters) {
  curg::Run(RuntimeOptions{.workers = 2}, [] {
    std::stop_source stop;
    std::vector<JoinHandle<uint64_t>> burning;
    for (const char* tenant : {"acme", "initech", "other"}) {
      burning.push_back(Go({.tag = Labels::Of({{"tenant", tenant}})},
                           [token = stop.get_token()] { return BurnUntil(token); }));
    }
    std::set<std::map<std::string, std::string>> of_acme;
    std::set<std::map<std::string, std::string>> of_initech;
    for (const int seconds : {2, 8, 32}) {  // as above
      const std::string page = absl::StrCat("/debug/pprof/profile?seconds=", seconds);
      auto acme = Go([&] { return Get(page + "&label=tenant=acme"); });
      auto initech = Go([&] { return Get(page + "&hz=250&label=tenant=initech"); });
      of_acme = LabelsOf(acme.Join());
      of_initech = LabelsOf(initech.Join());
      if (!of_acme.empty() && !of_initech.empty()) break;
    }
    const std::map<std::string, std::string> only_acme = {{"tenant", "acme"}};
    const std::map<std::string, std::string> only_initech = {{"tenant", "initech"}};
    EXPECT_THAT(of_acme, ElementsAre(only_acme));
    EXPECT_THAT(of_initech, ElementsAre(only_initech));
    stop.request_stop();
    for (auto& task : burning) task.Join();
    return 0;
  });
}

TEST(ProfilePageTest, TellsTasksApartOnRequest) {
  const auto tasks_of = [](const DebugResponse& response) {
    std::set<std::string> ids;
    for (const auto& labels : LabelsOf(response)) {
      if (labels.contains("task_id")) ids.insert(labels.at("task_id"));
    }
    return ids.size();
  };
  EXPECT_GE(tasks_of(ProfileWhileBurning(
                "&task_ids=1", [&](const DebugResponse& now) { return tasks_of(now) >= 2; })),
            2);
  EXPECT_EQ(tasks_of(GetWhileBurning("/debug/pprof/profile?seconds=1")), 0);
}

TEST(ProfilePageTest, RefusesWhatItCannotDo) {
  for (const char* target : {"task_ids=x", "spawners=x", "spawners=5", "hz=0", "hz=10001", "hz=x",
                             "label==x", "format=xml"}) {
    const DebugResponse response = Get(std::string("/debug/pprof/profile?seconds=1&") + target);
    EXPECT_EQ(response.status, 400) << target;
    EXPECT_EQ(response.Header("X-Go-Pprof"), "1");
    EXPECT_EQ(response.Header("Content-Disposition"), "");
  }
}

TEST(ProfilePageTest, EndsWhenTheClientLeaves) {
  std::stop_source stop;
  DebugPages pages;
  AddPprofPages(pages);
  DebugRequest request = DebugRequest::Get("/debug/pprof/profile?seconds=100");
  request.stop = stop.get_token();
  std::thread leaver([&stop] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop.request_stop();
  });
  const auto start = std::chrono::steady_clock::now();
  pages.Handle(request);
  leaver.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(50));
  EXPECT_TRUE(StartCpuProfile().ok());  // nobody holds it any longer
}

TEST(CmdlinePageTest, SeparatesArgumentsByNul) {
  const DebugResponse response = Get("/debug/pprof/cmdline");
  EXPECT_EQ(response.Header("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_THAT(response.body, EndsWith("pprof_pages_test"));
}

// More than one byte, whatever the options: an address within is asked for.
[[gnu::noinline]] void WellKnown() { asm volatile("nop"); }

TEST(SymbolPageTest, NamesFunctions) {
  const uint64_t address = reinterpret_cast<uint64_t>(&WellKnown) + 1;
  char query[64];
  std::snprintf(query, sizeof(query), "0x%lx+junk+%lu+1", address, address);
  const DebugResponse response = Get(std::string("/debug/pprof/symbol?") + query);
  EXPECT_THAT(response.body, StartsWith("num_symbols: 1\n0x"));
  EXPECT_THAT(response.body,
              ContainsRegex("\n0x[0-9a-f]+ curg::.*WellKnown\n0x[0-9a-f]+ .*WellKnown\n$"));

  DebugPages pages;
  AddPprofPages(pages);
  DebugRequest post = DebugRequest::Get("/debug/pprof/symbol");
  post.method = "POST";
  post.body = query;
  EXPECT_EQ(pages.Handle(post).body, response.body);
  EXPECT_EQ(Get("/debug/pprof/symbol").body, "num_symbols: 1\n");
  EXPECT_EQ(pages.Handle(post).body, response.body) << "from the same symbolizer";
}

}  // namespace
}  // namespace curg
