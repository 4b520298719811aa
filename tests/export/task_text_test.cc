// SPDX-License-Identifier: Apache-2.0
#include "export/task_text.h"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "export/profile.pb.h"
#include "export/task_json.h"
#include "export/task_pprof_message.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "labels/label_set.h"
#include "profiler/task_profile.h"
#include "runtime/report_text.h"

namespace curg {
namespace {

using namespace std::chrono_literals;
using internal::WaitReason;
using ::testing::HasSubstr;

// "f1" for address 1 and so on.
class Words final : public internal::ReportWords {
 public:
  void AppendStack(internal::ReportSink& sink, const ReportedTask& task) override {
    for (const uintptr_t pc : task.stack) sink.Append(absl::StrCat("    f", pc, "\n"));
  }
  void AppendSite(internal::ReportSink& sink, uintptr_t pc) override {
    sink.Append(absl::StrCat("site ", pc));
  }
  void AppendLabels(internal::ReportSink& sink, const Tag* tag) override {
    sink.Append(absl::StrCat(" ", LabelSet::FromTag(tag)->ToString()));
  }
};

TaskProfile Example() {
  TaskProfile profile;
  profile.time = absl::FromUnixSeconds(0);
  profile.tags = {TagRef(), Labels::Of({{"job", "a \"b\""}})};
  profile.names = {"", "reader"};
  profile.spawn_stacks.Add({});
  const std::vector<uintptr_t> reads = {1, 2};
  const std::vector<uintptr_t> locks = {3, 2};
  const std::vector<uintptr_t> runs = {4};
  profile.groups = {
      {.stack = profile.stacks.Add(reads),
       .tag = 1,
       .status = TaskStatus::kParked,
       .wait = WaitReason::kChannelReceive,
       .count = 2,
       .age_min = 1500ms,
       .age_max = 75s},
      {.stack = profile.stacks.Add(locks),
       .status = TaskStatus::kParked,
       .wait = WaitReason::kMutexLock,
       .count = 1},
      {.stack = profile.stacks.Add(runs), .status = TaskStatus::kRunning, .count = 1},
  };
  profile.total = profile.matching = 4;
  profile.tasks = {
      {.id = 1, .spawn_pc = 9, .group = 2},
      {.id = 2,
       .spawner_id = 1,
       .spawn_pc = 8,
       .group = 0,
       .name = 1,
       .age = 1500ms,
       .wait_object = reinterpret_cast<void*>(0xabc)},
      {.id = 3, .spawner_id = 1, .spawn_pc = 8, .group = 0, .age = 75s},
      {.id = 4,
       .spawner_id = 2,
       .spawn_pc = 8,
       .group = 1,
       .wait_object = reinterpret_cast<void*>(0xdef),
       .wait_task = 2},
  };
  return profile;
}

std::string WithoutHead(const std::string& text) { return text.substr(text.find('\n') + 1); }

template <typename Write>
std::string Whole(Write write, const TaskProfile& profile, const TaskTextOptions& options = {}) {
  Words words;
  std::string text;
  write(
      profile, words,
      [&](std::string_view piece) {
        text.append(piece);
        return true;
      },
      options);
  return WithoutHead(text);
}

TEST(TaskText, OneParagraphATask) {
  EXPECT_EQ(Whole([](auto&&... a) { return internal::WriteTaskText(a...); }, Example()), R"(
task 1 [running, 0]:
    f4
  spawned by a plain thread at site 9

task 2 "reader" {"job":"a \"b\""} [channel receive on 0xabc, 1.5s]:
    f1
    f2
  spawned by task 1 at site 8

task 3 {"job":"a \"b\""} [channel receive, 1m15s]:
    f1
    f2
  spawned by task 1 at site 8

task 4 [mutex lock on 0xdef held by task 2, 0]:
    f3
    f2
  spawned by task 2 at site 8
)");
}

TEST(TaskText, SaysWhatATaskHasUsedWhereItIsKnown) {
  TaskProfile profile = Example();
  profile.tasks[1].cpu = 2'345'678us;
  EXPECT_THAT(Whole([](auto&&... a) { return internal::WriteTaskText(a...); }, profile),
              HasSubstr("[channel receive on 0xabc, 1.5s, CPU 2.3456s]"));
  EXPECT_THAT(TaskJson(profile), HasSubstr("\"object\":\"0xabc\",\"cpu_ns\":2345678000,"));
}

TEST(TaskText, SaysWhoHasTheOtherEndOfAChannel) {
  TaskProfile profile = Example();
  profile.tasks[1].wait_task = 4;
  EXPECT_THAT(Whole([](auto&&... a) { return internal::WriteTaskText(a...); }, profile),
              HasSubstr("[channel receive on 0xabc from task 4, 1.5s]"));
  profile.groups[0].wait = WaitReason::kChannelSend;
  EXPECT_THAT(Whole([](auto&&... a) { return internal::WriteTaskText(a...); }, profile),
              HasSubstr("[channel send on 0xabc to task 4, 1.5s]"));
}

TEST(TaskText, Groups) {
  EXPECT_EQ(Whole([](auto&&... a) { return internal::WriteGroupedTaskText(a...); }, Example(),
                  {.paragraphs_max = 2}),
            R"(
2 tasks {"job":"a \"b\""} [channel receive, 1.5s to 1m15s]:
    f1
    f2

1 task [mutex lock, 0]:
    f3
    f2

and 1 task more
)");
}

TEST(TaskText, StopsWhenNoMoreIsWanted) {
  TaskProfile profile = Example();
  while (profile.tasks.size() < 10'000) profile.tasks.push_back(profile.tasks.back());
  Words words;
  int pieces = 0;
  EXPECT_FALSE(internal::WriteTaskText(profile, words,
                                       [&](std::string_view piece) {
                                         EXPECT_EQ(piece.back(), '\n');
                                         return ++pieces < 3;
                                       },
                                       {}));
  EXPECT_EQ(pieces, 3);
}

TEST(TaskText, Json) {
  const std::vector<std::string> lines = absl::StrSplit(TaskJson(Example()), '\n');
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(
      lines[1],
      R"({"id":2,"name":"reader","status":"parked","wait":"channel receive","object":"0xabc",)"
      R"("age_ms":1500,)"
      R"("labels":{"job":"a \"b\""},"spawner":1,"spawn_site":"0x7","stack":["0x1","0x1"]})");
  EXPECT_THAT(lines[3], HasSubstr(R"("holder":2)"));
}

class NoFrames final : public FrameSource {
 public:
  const std::vector<Frame>& FramesAt(uintptr_t) override { return none_; }

 private:
  std::vector<Frame> none_;
};

TEST(TaskText, Pprof) {
  NoFrames frames;
  const perftools::profiles::Profile message = BuildTaskPprof(Example(), frames, "");
  ASSERT_EQ(message.sample_size(), 3);
  EXPECT_EQ(message.string_table(static_cast<int>(message.sample_type(0).type())), "tasks");
  const auto& sample = message.sample(0);
  EXPECT_EQ(sample.value(0), 2);
  EXPECT_EQ(sample.location_id_size(), 2);
  std::vector<std::string> labels;
  for (const auto& label : sample.label()) {
    labels.push_back(absl::StrCat(message.string_table(static_cast<int>(label.key())), "=",
                                  message.string_table(static_cast<int>(label.str()))));
  }
  EXPECT_EQ(labels, (std::vector<std::string>{"job=a \"b\"", "curg.status=parked",
                                              "curg.wait=channel receive"}));
}

}  // namespace
}  // namespace curg
