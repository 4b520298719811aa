// SPDX-License-Identifier: Apache-2.0
#include "runtime/task_body.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace curg::internal {
namespace {

// Counts those that are alive, and is kBytes long.
template <size_t kBytes>
struct Counted {
  explicit Counted(int value) : value(value) { ++alive; }
  Counted(Counted&& other) noexcept : value(other.value) { ++alive; }
  ~Counted() { --alive; }

  static inline int alive = 0;
  int value;
  std::array<std::byte, kBytes - sizeof(int)> rest = {};
};

template <typename T>
class TaskBodyOf : public testing::Test {
 protected:
  ~TaskBodyOf() override { EXPECT_EQ(T::alive, 0); }
};
using Sizes = testing::Types<Counted<8>, Counted<TaskBody::kInlineBytes>,
                             Counted<TaskBody::kInlineBytes + 4>, Counted<400>>;
TYPED_TEST_SUITE(TaskBodyOf, Sizes);

TYPED_TEST(TaskBodyOf, CallableIsRunOnceAndItsValueTaken) {
  TaskBody body;
  EmplaceCallable(body, [arg = TypeParam(20)]() { return TypeParam(arg.value + 1); });
  EXPECT_EQ(TypeParam::alive, 1);
  body.Run();
  EXPECT_EQ(TypeParam::alive, 1);  // the value; the callable is gone
  EXPECT_NE(body.step, nullptr);
  EXPECT_EQ(TakeResult<TypeParam>(body).value, 21);
  EXPECT_EQ(body.step, nullptr);
}

TYPED_TEST(TaskBodyOf, CallableIsDroppedUnrun) {
  TaskBody body;
  EmplaceCallable(body, [arg = TypeParam(1)]() { FAIL(); });
  body.Drop();
  EXPECT_EQ(body.step, nullptr);
  body.Drop();
}

TYPED_TEST(TaskBodyOf, ValueIsDroppedUntaken) {
  TaskBody body;
  EmplaceCallable(body, []() { return TypeParam(1); });
  body.Run();
  EXPECT_EQ(TypeParam::alive, 1);
  body.Drop();
  EXPECT_EQ(body.step, nullptr);
}

TYPED_TEST(TaskBodyOf, ExceptionDestroysTheCallable) {
  TaskBody body;
  EmplaceCallable(body,
                  [arg = TypeParam(1)]() -> TypeParam { throw std::runtime_error("thrown"); });
  body.Run();
  EXPECT_EQ(TypeParam::alive, 0);
  EXPECT_NE(body.step, nullptr);
  EXPECT_THROW(TakeResult<TypeParam>(body), std::runtime_error);
  EXPECT_EQ(body.step, nullptr);
}

TEST(TaskBody, IsSmall) {
  EXPECT_EQ(sizeof(TaskBody), 48u);
  EXPECT_TRUE((BodyCell<std::array<void*, 5>>::kInline));
  EXPECT_TRUE((BodyCell<std::string>::kInline));
  EXPECT_FALSE((BodyCell<std::array<void*, 6>>::kInline));
}

TEST(TaskBody, ExceptionIsDroppedUnseen) {
  const auto alive = std::make_shared<int>(1);
  TaskBody body;
  EmplaceCallable(body, [alive] { throw alive; });
  body.Run();
  EXPECT_EQ(alive.use_count(), 2);
  body.Drop();
  EXPECT_EQ(alive.use_count(), 1);
}

// A value is not taken for what was thrown, although it could be.
TEST(TaskBody, ExceptionPointerAsValue) {
  TaskBody body;
  EmplaceCallable(body, [] { return std::make_exception_ptr(7); });
  body.Run();
  const auto value = TakeResult<std::exception_ptr>(body);
  EXPECT_THROW(std::rethrow_exception(value), int);
}

TEST(TaskBody, NothingIsLeftOfVoid) {
  TaskBody body;
  bool ran = false;
  EmplaceCallable(body, [&ran] { ran = true; });
  body.Run();
  EXPECT_TRUE(ran);
  EXPECT_EQ(body.step, nullptr);
  TakeResult<void>(body);
}

TEST(TaskBody, ReferencesStayReferences) {
  TaskBody body;
  int target = 1;
  EmplaceCallable(body, [&target]() -> int& { return target; });
  body.Run();
  EXPECT_EQ(&TakeResult<int&>(body), &target);
}

TEST(TaskBody, AlignmentIsKept) {
  struct alignas(64) Wide {
    int value = 5;
  };
  TaskBody body;
  EmplaceCallable(body, [wide = Wide(), exact = static_cast<long double>(2)] {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(&wide) % 64, 0u);
    return exact * wide.value;
  });
  body.Run();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(body.storage) % alignof(long double), 0u);
  EXPECT_EQ(TakeResult<long double>(body), 10);
}

// What the callable's destructor throws comes after its value, and takes its place.
TEST(TaskBody, DestructorThrows) {
  struct Thrower {
    explicit Thrower(bool armed) : armed(armed) {}
    Thrower(Thrower&& other) noexcept : armed(std::exchange(other.armed, false)) {}
    ~Thrower() noexcept(false) {
      if (armed) throw std::logic_error("destructor");
    }
    Counted<8> operator()() { return Counted<8>(1); }
    bool armed;
  };
  TaskBody body;
  EmplaceCallable(body, Thrower(true));
  body.Run();
  EXPECT_EQ(Counted<8>::alive, 0);
  EXPECT_THROW(TakeResult<Counted<8>>(body), std::logic_error);
}

}  // namespace
}  // namespace curg::internal
