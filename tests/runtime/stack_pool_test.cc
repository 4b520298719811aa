// SPDX-License-Identifier: Apache-2.0
#include "runtime/stack_pool.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <set>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "runtime/context.h"

namespace curg::internal {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kSlot = size_t{64} << 10;

std::vector<StackSlot> TakeSlots(StackPool& pool, size_t count) {
  std::vector<StackSlot> slots;
  while (slots.size() < count) {
    size_t taken;
    const absl::Status status = pool.TakeCredits(count - slots.size(), &taken);
    EXPECT_TRUE(status.ok()) << status;
    for (size_t i = 0; i < taken; ++i) slots.push_back(pool.TakeSlot());
  }
  return slots;
}

void ReturnAll(StackPool& pool, std::span<const StackSlot> slots) {
  for (const StackSlot& slot : slots) pool.ReturnSlot(slot);
}

// How many pages of the slot's usable memory are resident.
size_t ResidentPages(const StackSlot& slot) {
  std::vector<unsigned char> pages(slot.size / kPage);
  EXPECT_EQ(mincore(reinterpret_cast<void*>(slot.usable().low), slot.size, pages.data()), 0);
  size_t resident = 0;
  for (unsigned char page : pages) resident += page & 1;
  return resident;
}

void Touch(const StackSlot& slot, size_t bytes) {
  std::memset(reinterpret_cast<void*>(slot.usable().high - bytes), 1, bytes);
}

// Whether the page below the slot's memory faults: the kernel, asked to read it, says so.
bool HasGuard(const StackSlot& slot) {
  int pipe_ends[2];
  EXPECT_EQ(pipe(pipe_ends), 0);
  const ssize_t written = write(pipe_ends[1], slot.base, 1);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  return written == -1 && errno == EFAULT;
}

TEST(StackPool, SlotsAreApartAndUsable) {
  StackPool pool(kSlot, 0);
  const std::vector<StackSlot> slots = TakeSlots(pool, 2000);
  std::set<uintptr_t> lows;
  for (const StackSlot& slot : slots) {
    EXPECT_EQ(slot.usable().high - slot.usable().low, kSlot);
    EXPECT_TRUE(lows.insert(slot.usable().low).second);
    *reinterpret_cast<char*>(slot.usable().low) = 1;
    *reinterpret_cast<char*>(slot.usable().high - 1) = 1;
  }
  for (auto low = lows.begin(); std::next(low) != lows.end(); ++low) {
    EXPECT_GE(*std::next(low) - *low, kSlot + kPage);  // a guard between
  }
  EXPECT_GE(pool.stats().slots, 2000u);
  ReturnAll(pool, slots);
  EXPECT_EQ(pool.stats().in_pool, pool.stats().slots);
  EXPECT_EQ(pool.stats().unguarded, 0u);
}

TEST(StackPool, LastReturnedIsTakenFirst) {
  StackPool pool(kSlot, 0);
  const std::vector<StackSlot> slots = TakeSlots(pool, 3);
  pool.ReturnSlot(slots[1]);
  pool.ReturnSlot(slots[0]);
  EXPECT_EQ(TakeSlots(pool, 1)[0].base, slots[0].base);
  EXPECT_EQ(TakeSlots(pool, 1)[0].base, slots[1].base);
}

TEST(StackPoolDeathTest, WriteBelowTheStackFaults) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  StackPool pool(kSlot, 0);
  const StackSlot slot = TakeSlots(pool, 1)[0];
  EXPECT_EXIT(
      {
        // Whatever a sanitizer would do about the fault.
        signal(SIGSEGV, SIG_DFL);
        *reinterpret_cast<volatile char*>(slot.usable().low - 1) = 1;
      },
      testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_DFL);
        *reinterpret_cast<volatile char*>(slot.usable().low - kPage) = 1;
      },
      testing::KilledBySignal(SIGSEGV), "");
}

// Memory that is locked refuses cheap guards; then they are mappings of their own.
TEST(StackPoolDeathTest, LockedMemoryHasGuardsToo) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  rlimit limit;
  getrlimit(RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur < (size_t{128} << 20)) GTEST_SKIP() << "may not lock memory";
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_DFL);
        StackPool pool(kSlot, 0);
        if (mlockall(MCL_FUTURE | MCL_ONFAULT) != 0) raise(SIGSEGV);
        const StackSlot slot = TakeSlots(pool, 1)[0];
        EXPECT_EQ(pool.stats().unguarded, 0u);
        *reinterpret_cast<volatile char*>(slot.usable().low - 1) = 1;
      },
      testing::KilledBySignal(SIGSEGV), "");
}

TEST(StackPool, LimitIsExact) {
  StackPool pool(kSlot, 10);
  size_t taken;
  ASSERT_TRUE(pool.TakeCredits(7, &taken).ok());
  EXPECT_EQ(taken, 7u);
  size_t more;
  ASSERT_TRUE(pool.TakeCredits(7, &more).ok());
  EXPECT_EQ(more, 3u);
  const absl::Status refused = pool.TakeCredits(1, &more);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refused.message().find("all 10 task stacks"), absl::string_view::npos) << refused;
  pool.ReturnCredits(1);
  ASSERT_TRUE(pool.TakeCredits(5, &more).ok());
  EXPECT_EQ(more, 1u);
}

// By a limit of all address space, or of what may be written: a kernel with strict overcommit
// refuses as by the second.
class StackPoolLimit : public testing::TestWithParam<__rlimit_resource> {};

INSTANTIATE_TEST_SUITE_P(Resources, StackPoolLimit, testing::Values(RLIMIT_AS, RLIMIT_DATA));

TEST_P(StackPoolLimit, NoAddressSpaceIsAnError) {
#if defined(CURG_ASAN) || defined(CURG_TSAN)
  GTEST_SKIP() << "the sanitizer needs the address space itself";
#endif
  StackPool pool(size_t{256} << 20, 0);  // a slab each
  rlimit before;
  ASSERT_EQ(getrlimit(GetParam(), &before), 0);
  rlimit less = before;
  less.rlim_cur = size_t{4} << 30;
  ASSERT_EQ(setrlimit(GetParam(), &less), 0);
  absl::Status status;
  size_t slots = 0;
  size_t taken;
  while (slots < 100 && (status = pool.TakeCredits(1, &taken)).ok()) ++slots;
  setrlimit(GetParam(), &before);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("address space"), absl::string_view::npos) << status;
  EXPECT_LE(slots, 16u);
  EXPECT_TRUE(pool.TakeCredits(1, &taken).ok());  // and works again
}

TEST(StackPool, TrimGivesMemoryBack) {
  StackPool pool(kSlot, 0);
  const std::vector<StackSlot> slots = TakeSlots(pool, 20);
  for (const StackSlot& slot : slots) Touch(slot, 3 * kPage);
  for (const StackSlot& slot : slots) EXPECT_EQ(ResidentPages(slot), 3u);
  ReturnAll(pool, slots);
  for (const StackSlot& slot : slots) EXPECT_EQ(ResidentPages(slot), 3u);
  EXPECT_TRUE(pool.TrimUnused(5));  // they were in use since the last call: next time
  for (const StackSlot& slot : slots) EXPECT_EQ(ResidentPages(slot), 3u);
  EXPECT_FALSE(pool.TrimUnused(5));
  size_t resident = 0;
  for (const StackSlot& slot : slots) resident += ResidentPages(slot);
  EXPECT_EQ(resident, 15u);
  // What is kept is what will be taken next.
  for (const StackSlot& slot : TakeSlots(pool, 5)) EXPECT_EQ(ResidentPages(slot), 3u);
  EXPECT_EQ(ResidentPages(TakeSlots(pool, 1)[0]), 0u);
}

// A slab of which nothing is used is mapped anew: guards go and come again, and addresses stay
// mapped.
TEST(StackPool, EmptySlabsAreMappedAnew) {
  StackPool pool(kSlot, 0);
  const std::vector<StackSlot> slots = TakeSlots(pool, 600);
  for (const StackSlot& slot : slots) Touch(slot, kPage);
  ReturnAll(pool, std::span(slots).subspan(1));  // the first slab keeps one in use
  pool.TrimUnused(0);
  EXPECT_EQ(pool.stats().resident, 599u);
  pool.TrimUnused(0);
  EXPECT_EQ(pool.stats().resident, 0u);
  EXPECT_EQ(pool.stats().in_pool, pool.stats().slots - 1);
  EXPECT_EQ(ResidentPages(slots[0]), 1u);
  for (const StackSlot& slot : slots) {
    EXPECT_EQ(*reinterpret_cast<char*>(slot.usable().high - 1), &slot == &slots[0] ? 1 : 0);
  }
  const std::vector<StackSlot> again = TakeSlots(pool, 599);
  std::set<char*> distinct = {slots[0].base};
  for (const StackSlot& slot : again) {
    EXPECT_TRUE(distinct.insert(slot.base).second);
    EXPECT_TRUE(HasGuard(slot));
  }
  EXPECT_EQ(pool.stats().unguarded, 0u);
}

TEST(StackPool, UntouchedSlotsCostNothing) {
  StackPool pool(kSlot, 0);
  for (const StackSlot& slot : TakeSlots(pool, 100)) EXPECT_EQ(ResidentPages(slot), 0u);
}

TEST(StackPool, SizesOutOfRange) {
  size_t size = 0;
  for (size_t bad : {size_t{0}, size_t{1}, (size_t{16} << 10) - 1, (size_t{1} << 30) + 1}) {
    const absl::Status status = SlotSizeFor(bad, &size);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  ASSERT_TRUE(SlotSizeFor(size_t{16} << 10, &size).ok());
  EXPECT_EQ(size, size_t{16} << 10);
  ASSERT_TRUE(SlotSizeFor(100'000, &size).ok());
  EXPECT_EQ(size, size_t{128} << 10);
  ASSERT_TRUE(SlotSizeFor(size_t{1} << 30, &size).ok());
}

// ---- The cache of a processor: every credit has a slot, whoever turns which into which.

TEST(StackCache, CreditsMoveBetweenCaches) {
  StackPool pool(kSlot, 0);
  {
    StackCache spawner(pool);
    StackCache runner(pool);
    std::vector<StackSlot> bound;
    for (int round = 0; round < 5; ++round) {
      std::vector<StackSlot> reserved(300);
      for (StackSlot& slot : reserved) ASSERT_TRUE(spawner.Reserve(&slot).ok());
      for (StackSlot& slot : reserved) bound.push_back(slot ? slot : runner.Bind());
      std::set<char*> distinct;
      for (const StackSlot& slot : bound) distinct.insert(slot.base);
      EXPECT_EQ(distinct.size(), bound.size());
      for (const StackSlot& slot : bound) runner.Release(slot);
      bound.clear();
    }
  }
  EXPECT_EQ(pool.stats().in_pool, pool.stats().slots);
  size_t all;
  ASSERT_TRUE(pool.TakeCredits(pool.stats().slots, &all).ok());
  EXPECT_EQ(all, pool.stats().slots);
}

TEST(StackCache, UnreserveGivesTheCreditBack) {
  for (size_t limit : {size_t{0}, size_t{3}}) {
    StackPool pool(kSlot, limit);
    {
      StackCache cache(pool);
      for (int i = 0; i < 10; ++i) {
        StackSlot slot;
        ASSERT_TRUE(cache.Reserve(&slot).ok());
        if (i % 2 == 0 && !slot) slot = cache.Bind();
        cache.Unreserve(slot);
      }
    }
    EXPECT_EQ(pool.stats().in_pool, pool.stats().slots);
    size_t all;
    ASSERT_TRUE(pool.TakeCredits(pool.stats().slots, &all).ok());
    EXPECT_EQ(all, pool.stats().slots);
  }
}

TEST(StackCache, LimitedPoolsKeepNothingBack) {
  StackPool pool(kSlot, 2);
  StackCache one(pool);
  StackCache two(pool);
  StackSlot a, b, c;
  ASSERT_TRUE(one.Reserve(&a).ok());
  ASSERT_TRUE(two.Reserve(&b).ok());
  EXPECT_FALSE(one.Reserve(&c).ok());
  a = one.Bind();
  two.Release(a);
  ASSERT_TRUE(one.Reserve(&c).ok());
}

}  // namespace
}  // namespace curg::internal
