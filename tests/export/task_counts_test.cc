// SPDX-License-Identifier: Apache-2.0
//
// As Go's TestGoroutineCounts: tasks parked in three places, with a label and without, as text and
// for pprof.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "export/profile.pb.h"
#include "export/symbolize.h"
#include "export/task_pprof_message.h"
#include "export/task_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "labels/labels.h"
#include "profiler/task_profiler.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"
#include "tests/profiler/await_parked.h"

namespace curg {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Channel<int> g_never;

[[gnu::noinline]] void WaitHere() {
  g_never.Receive();
  asm volatile("");
}
[[gnu::noinline]] void WaitThere() {
  g_never.Receive();
  asm volatile("" : : : "memory");
}
[[gnu::noinline]] void WaitElsewhere() {
  WaitThere();
  asm volatile("");
}

std::vector<JoinHandle<void>> Launch() {
  std::vector<JoinHandle<void>> tasks;
  const auto add = [&](int count, void (*wait)()) {
    for (int i = 0; i < count; ++i) tasks.push_back(Go({.name = absl::StrCat("task ", i)}, wait));
  };
  add(50, &WaitHere);
  add(40, &WaitThere);
  add(10, &WaitElsewhere);
  const ScopedLabels labels({{"key", "value"}});
  add(44, &WaitHere);
  add(36, &WaitThere);
  add(9, &WaitElsewhere);
  return tasks;
}

TEST(TaskCounts, AreTheSameAsTextAndForPprof) {
  curg::Run({.workers = 2}, [] {
    std::vector<JoinHandle<void>> tasks = Launch();
    AwaitParked(189, "task ");
    const ScopedLabels own({{"self", "caller"}});
    const TaskProfile profile = CollectTaskProfile();

    std::vector<std::string> paragraphs = absl::StrSplit(GroupedTaskText(profile), "\n\n");
    paragraphs.erase(paragraphs.begin());  // the head
    std::vector<std::string> heads;
    for (const std::string& paragraph : paragraphs) {
      heads.push_back(paragraph.substr(0, paragraph.find(" [")));
    }
    EXPECT_THAT(heads, ElementsAre("50 tasks", R"(44 tasks {"key":"value"})", "40 tasks",
                                   R"(36 tasks {"key":"value"})", "10 tasks",
                                   R"(9 tasks {"key":"value"})", R"(1 task {"self":"caller"})"));
    const std::vector<std::string> places = {"WaitHere",          "WaitHere",      "WaitThere",
                                             "WaitThere",         "WaitElsewhere", "WaitElsewhere",
                                             "CollectTaskProfile"};
    ASSERT_EQ(paragraphs.size(), places.size());
    for (size_t i = 0; i < places.size(); ++i) EXPECT_THAT(paragraphs[i], HasSubstr(places[i]));

    Symbolizer symbolizer(profile.mappings);
    const perftools::profiles::Profile message = BuildTaskPprof(profile, symbolizer, "");
    std::vector<std::string> samples;
    for (const auto& sample : message.sample()) {
      std::string text = absl::StrCat(sample.value(0));
      for (const auto& label : sample.label()) {
        const std::string& key = message.string_table(static_cast<int>(label.key()));
        if (absl::StartsWith(key, "curg.")) continue;
        absl::StrAppend(&text, " ", key, "=", message.string_table(static_cast<int>(label.str())));
      }
      samples.push_back(text);
    }
    EXPECT_THAT(samples, ElementsAre("50", "44 key=value", "40", "36 key=value", "10",
                                     "9 key=value", "1 self=caller"));

    g_never.Close();
    for (auto& task : tasks) task.Join();
  });
}

}  // namespace
}  // namespace curg
