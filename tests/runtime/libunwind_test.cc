// SPDX-License-Identifier: Apache-2.0
#include "runtime/libunwind.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <unwind.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/unwind_table.h"
#include "tests/runtime/unwind_comparison.h"

namespace curg::internal {
namespace {

constexpr size_t kDepthMax = 200;

std::string FileOf(const void* address) {
  Dl_info info{};
  return dladdr(address, &info) == 0 ? "" : info.dli_fname;
}

const LibUnwind& Reference() {
  absl::StatusOr<const LibUnwind*> library = LibUnwind::Open();
  EXPECT_TRUE(library.ok()) << library.status();
  return **library;
}

TEST(LibUnwind, LeavesExceptionsAndBacktraceWhereTheyWere) {
  Reference();
  const std::string resume = FileOf(reinterpret_cast<const void*>(&_Unwind_Resume));
  EXPECT_NE(resume.find("libgcc_s"), std::string::npos) << resume;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which have their own
  const std::string raise = FileOf(reinterpret_cast<const void*>(&_Unwind_RaiseException));
  EXPECT_NE(raise.find("libgcc_s"), std::string::npos) << raise;
  const std::string trace = FileOf(dlsym(RTLD_DEFAULT, "backtrace"));
  EXPECT_NE(trace.find("libc.so"), std::string::npos) << trace;
#endif
  EXPECT_THROW(throw std::runtime_error("through libgcc"), std::runtime_error);
}

TEST(LibUnwind, OpensOnce) { EXPECT_EQ(&Reference(), &Reference()); }

__attribute__((noinline)) size_t WalkFromHere(std::vector<uintptr_t>* pcs) {
  ucontext_t context;
  getcontext(&context);
  return Reference().Walk(context, *pcs);
}

TEST(LibUnwind, WalksToTheBeginningOfTheThread) {
  std::vector<uintptr_t> pcs(kDepthMax);
  const size_t depth = WalkFromHere(&pcs);
  ASSERT_GT(depth, 5u);
  ASSERT_LT(depth, kDepthMax);
  EXPECT_EQ(FileOf(reinterpret_cast<void*>(pcs[0])),
            FileOf(reinterpret_cast<void*>(&WalkFromHere)));
  std::vector<uintptr_t> two(2);
  EXPECT_EQ(WalkFromHere(&two), 2u);
}

TEST(LibUnwind, AgreesWithTheTablesInASignalHandler) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's runtime defers signals";
#endif
  constexpr uint64_t kSamples = 12000;
  ASSERT_TRUE(RefreshUnwindTables().ok());
  const UnwindComparison comparison = CompareWithLibUnwind(Reference(), kSamples);
  std::printf("%s", comparison.Table().c_str());
  const auto samples = static_cast<double>(comparison.samples);
  EXPECT_GE(comparison.samples, kSamples);
  // libunwind is wrong in a handful of epilogues (traceback_single_step_test knows the truth
  // there).
  EXPECT_LE(static_cast<double>(comparison.DifferencesOutsideThrows()), samples / 2000);
  EXPECT_GE(static_cast<double>(comparison.agree), 0.99 * samples);
  EXPECT_GE(static_cast<double>(comparison.rooted), 0.999 * samples);
}

}  // namespace
}  // namespace curg::internal
