// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_extra.h"

#include <array>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "runtime/task.h"
#include "runtime/task_name.h"
#include "runtime/task_slab.h"

namespace curg::internal {
namespace {

constexpr std::string_view kLong = "a name that is too long to be kept in place";

class TaskExtraTest : public testing::Test {
 protected:
  TaskExtraTest() : task_(*cache_.Take()) {}
  ~TaskExtraTest() override { cache_.Return(&task_); }

  std::string Copied(size_t most = 63) {
    std::array<char, 63> name;
    return std::string(CopyTaskName(task_, std::span(name).first(most)));
  }

  TaskCache cache_;
  Task& task_;
};

TEST_F(TaskExtraTest, IsMadeOnce) {
  EXPECT_EQ(task_.extra(), nullptr);
  EXPECT_EQ(task_.name(), "");
  EXPECT_EQ(task_.locals(), nullptr);
  TaskExtra& extra = ExtraOf(task_, &cache_);
  EXPECT_EQ(&ExtraOf(task_, nullptr), &extra);
  EXPECT_EQ(task_.extra(), &extra);
  EXPECT_EQ(task_.name(), "");
  extra.name = "short";
  EXPECT_EQ(task_.name(), "short");
  DropExtra(task_, &cache_);
  EXPECT_EQ(task_.extra(), nullptr);
  DropExtra(task_, &cache_);
}

// Its record is no task's, and one again afterwards.
TEST_F(TaskExtraTest, RecordLooksFreeAndIsUsedAgain) {
  ExtraOf(task_, &cache_).name = kLong;
  Task* const annex = task_.annex;
  EXPECT_EQ(annex->state.load(), TaskState::kFree);
  DropExtra(task_, &cache_);
  EXPECT_EQ(cache_.Take(), annex);
  cache_.Return(annex);
  ExtraOf(task_, nullptr);  // the slab's
  DropExtra(task_, nullptr);
}

TEST_F(TaskExtraTest, NamesAreCopied) {
  EXPECT_EQ(Copied(), "");
  TaskExtra& extra = ExtraOf(task_, &cache_);
  EXPECT_EQ(Copied(), "");
  for (std::string_view name : {std::string_view("short"), kLong}) {
    extra.name = name;
    EXPECT_EQ(Copied(), name);
    EXPECT_EQ(Copied(4), name.substr(0, 4));
  }
  DropExtra(task_, &cache_);
  EXPECT_EQ(Copied(), "");
}

// A late reader finds another task's callable where the name was: nonsense, but no fault.
TEST_F(TaskExtraTest, LateReadersReadAnything) {
  ExtraOf(task_, &cache_);
  Task* const annex = task_.annex;
  DropExtra(task_, &cache_);
  task_.annex = annex;  // as the reader has seen it
  for (int byte = 0; byte < 256; ++byte) {
    std::memset(annex->body.storage, byte, sizeof(annex->body.storage));
    EXPECT_EQ(Copied(), "");
  }
  task_.annex = nullptr;
}

}  // namespace
}  // namespace curg::internal
