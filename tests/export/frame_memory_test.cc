// SPDX-License-Identifier: Apache-2.0
#include "export/frame_memory.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace curg::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Frame FrameOf(const std::string& function) {
  Frame frame;
  frame.function = function;
  return frame;
}

TEST(FrameMemory, KnowsFilesApart) {
  FrameMemory memory(10);
  EXPECT_THAT(memory.Find("a", 1), IsEmpty());
  memory.Add("a", 1, {FrameOf("inner"), FrameOf("outer")});
  memory.Add("b", 1, {FrameOf("other")});
  EXPECT_THAT(memory.Find("a", 1), ElementsAre(FrameOf("inner"), FrameOf("outer")));
  EXPECT_THAT(memory.Find("b", 1), ElementsAre(FrameOf("other")));
  EXPECT_THAT(memory.Find("a", 2), IsEmpty());
}

TEST(FrameMemory, BeginsAnewWhenFull) {
  FrameMemory memory(2);
  for (uint64_t address : {1, 2, 3}) memory.Add("a", address, {FrameOf("f")});
  EXPECT_THAT(memory.Find("a", 1), IsEmpty());
  EXPECT_THAT(memory.Find("a", 3), ElementsAre(FrameOf("f")));
}

}  // namespace
}  // namespace curg::internal
