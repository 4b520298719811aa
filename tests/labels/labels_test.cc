// SPDX-License-Identifier: Apache-2.0
//
// The current task's labels: inheritance, scopes, and that they stay with their task.
#include "labels/labels.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/blocking.h"
#include "runtime/current_tag.h"
#include "runtime/delayed_task.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"

namespace curg {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

RuntimeOptions Workers(int workers) {
  RuntimeOptions options;
  options.workers = workers;
  return options;
}

Labels ChildsLabels() {
  return Go([] { return CurrentLabels(); }).Join();
}

// Each test leaves the plain thread as it was, and no set behind: neither in a task record nor in a
// worker's store of spare references.
class LabelsTest : public ::testing::Test {
 protected:
  void TearDown() override {
    EXPECT_THAT(CurrentLabels(), IsEmpty());
    EXPECT_EQ(LabelSet::LiveCountForTesting(), live_before_);
  }
  const size_t live_before_ = LabelSet::LiveCountForTesting();
};

TEST_F(LabelsTest, SetLabelsIsSeenByTheTaskAndItsChildren) {
  curg::Run(Workers(2), [] {
    EXPECT_THAT(CurrentLabels(), IsEmpty());
    EXPECT_THAT(ChildsLabels(), IsEmpty());

    SetLabels(Labels::Of({{"key", "value"}}));
    EXPECT_THAT(CurrentLabels(), ElementsAre(Label{"key", "value"}));
    EXPECT_THAT(ChildsLabels(), ElementsAre(Label{"key", "value"}));

    SetLabels({});
    EXPECT_THAT(CurrentLabels(), IsEmpty());
    EXPECT_THAT(ChildsLabels(), IsEmpty());
  });
}

// A timer's task: the labels of who set it, as they were then; or others; or none. Blocking is the
// task itself.
TEST_F(LabelsTest, TimersAndBlockingInheritUnlessTold) {
  curg::Run([] {
    Channel<Labels> seen(1);
    const auto look = [&] { seen.Send(CurrentLabels()); };
    {
      const ScopedLabels scope({{"key", "outer"}});
      GoAfter(std::chrono::hours(1), look).Reset(std::chrono::milliseconds(1));
      SetLabels(Labels::Of({{"key", "later"}}));
      EXPECT_EQ(seen.Receive()->Get("key"), "outer");
      (void)GoAfter(std::chrono::milliseconds(1), {.tag = Labels::Of({{"key", "own"}})}, look);
      EXPECT_EQ(seen.Receive()->Get("key"), "own");
      (void)GoAfter(std::chrono::milliseconds(1), {.tag = Labels()}, look);
      EXPECT_THAT(*seen.Receive(), IsEmpty());
      Blocking([] {
        EXPECT_EQ(CurrentLabels().Get("key"), "later");
        const ScopedLabels own({{"key", "inside"}});
        EXPECT_EQ(CurrentLabels().Get("key"), "inside");
      });
      EXPECT_EQ(CurrentLabels().Get("key"), "later");
    }
    EXPECT_THAT(CurrentLabels(), IsEmpty());
  });
}

TEST_F(LabelsTest, ChildrenKeepWhatTheyInherited) {
  curg::Run(Workers(2), [] {
    std::atomic<bool> changed{false};
    SetLabels(Labels::Of({{"key", "before"}}));
    JoinHandle<Labels> child = Go([&changed] {
      while (!changed) Yield();
      return CurrentLabels();
    });
    SetLabels(Labels::Of({{"key", "after"}}));
    changed = true;
    EXPECT_EQ(child.Join().Get("key"), "before");
  });
}

TEST_F(LabelsTest, AChildsLabelsAreNotItsParents) {
  curg::Run(Workers(2), [] {
    Go([] { SetLabels(Labels::Of({{"key", "child"}})); }).Join();
    EXPECT_THAT(CurrentLabels(), IsEmpty());
  });
}

TEST_F(LabelsTest, TaskOptionsGiveOtherLabelsOrNone) {
  curg::Run(Workers(2), [] {
    SetLabels(Labels::Of({{"key", "parent"}}));
    const auto current = [] { return CurrentLabels(); };
    EXPECT_EQ(Go({.tag = Labels::Of({{"job", "refresh"}})}, current).Join(),
              Labels::Of({{"job", "refresh"}}));
    EXPECT_EQ(Go({.tag = Labels()}, current).Join(), Labels());
    EXPECT_EQ(Go({.name = "named"}, current).Join(), Labels::Of({{"key", "parent"}}));
  });
}

// Go's TestDo, and what Do lacks: the scope restores what was there, not what it began from.
TEST_F(LabelsTest, ScopeAddsAndRestores) {
  curg::Run(Workers(2), [] {
    {
      ScopedLabels outer({{"key1", "value1"}, {"key2", "value2"}});
      EXPECT_THAT(CurrentLabels(), ElementsAre(Label{"key1", "value1"}, Label{"key2", "value2"}));
      EXPECT_EQ(ChildsLabels(), CurrentLabels());
      {
        ScopedLabels inner({{"key2", "inner"}, {"key3", "value3"}});
        EXPECT_THAT(CurrentLabels(), ElementsAre(Label{"key1", "value1"}, Label{"key2", "inner"},
                                                 Label{"key3", "value3"}));
        EXPECT_EQ(ChildsLabels(), CurrentLabels());
      }
      EXPECT_THAT(CurrentLabels(), ElementsAre(Label{"key1", "value1"}, Label{"key2", "value2"}));
    }
    EXPECT_THAT(CurrentLabels(), IsEmpty());
  });
}

TEST_F(LabelsTest, ScopeRestoresWhateverHappenedWithin) {
  curg::Run(Workers(1), [] {
    SetLabels(Labels::Of({{"key", "before"}}));
    {
      ScopedLabels scope({{"phase", "read"}});
      SetLabels(Labels::Of({{"other", "x"}}));
    }
    EXPECT_EQ(CurrentLabels(), Labels::Of({{"key", "before"}}));
    try {
      ScopedLabels scope(Labels::Of({{"phase", "throw"}}));
      throw std::runtime_error("out of the scope");
    } catch (const std::runtime_error&) {
      EXPECT_EQ(CurrentLabels(), Labels::Of({{"key", "before"}}));
    }
  });
}

// What was there is restored to the very object, even if it was no LabelSet.
TEST_F(LabelsTest, ScopeRestoresAForeignTag) {
  class Other final : public Tag {};
  const TagRef other = TagRef::Adopt(new Other);
  ExchangeCurrentTag(other);
  {
    ScopedLabels scope({{"a", "1"}});
    EXPECT_EQ(CurrentLabels(), Labels::Of({{"a", "1"}}));
  }
  EXPECT_EQ(CurrentTag(), other);
  EXPECT_THAT(CurrentLabels(), IsEmpty());
  ExchangeCurrentTag(TagRef());
}

TEST_F(LabelsTest, PlainThreadsHaveLabelsThatTasksInherit) {
  ScopedLabels scope({{"thread", "main"}});
  EXPECT_EQ(CurrentLabels().Get("thread"), "main");
  std::thread([] { EXPECT_THAT(CurrentLabels(), IsEmpty()) << "threads do not inherit"; }).join();
  EXPECT_EQ(curg::Run(Workers(1), [] { return CurrentLabels(); }).Get("thread"), "main");
}

// Go's TestLabelRace, and more: tasks on all workers label themselves, spawn, yield and migrate.
// Each must always see its own labels, and the thread sanitizer nothing to complain of.
TEST_F(LabelsTest, LabelRace) {
  curg::Run(Workers(4), [] {
    constexpr int kTasks = 40;
    constexpr int kRounds = 50;
    std::atomic<int> wrong{0};
    std::vector<JoinHandle<void>> tasks;
    for (int t = 0; t < kTasks; ++t) {
      tasks.push_back(Go([&wrong, t] {
        for (int i = 0; i < kRounds; ++i) {
          const std::string mine = std::to_string(t * kRounds + i);
          ScopedLabels scope({{"round", mine}, {"shared", "same"}});
          JoinHandle<Labels> child = Go([] {
            Yield();
            return CurrentLabels();
          });
          Yield();
          if (CurrentLabels().Get("round") != mine) ++wrong;
          if (child.Join().Get("round") != mine) ++wrong;
          if (CurrentLabels().Get("shared") != "same") ++wrong;
        }
        if (!CurrentLabels().empty()) ++wrong;
      }));
    }
    for (JoinHandle<void>& task : tasks) task.Join();
    EXPECT_EQ(wrong, 0);
  });
}

#ifndef NDEBUG
TEST(LabelsDeathTest, ScopeMustEndOnItsTask) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(curg::Run(Workers(1),
                         [] {
                           auto* scope = new ScopedLabels({{"a", "1"}});
                           Go([scope] { delete scope; }).Join();
                         }),
               "on the task it began on");
}
#endif

}  // namespace
}  // namespace curg
