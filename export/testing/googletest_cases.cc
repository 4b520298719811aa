// SPDX-License-Identifier: Apache-2.0
//
// Linked into a GoogleTest program, labels its samples by what is running: test_suite and
// test_case, and test_target under Bazel. Nobody calls it: a listener is added before main, which
// GoogleTest allows.
#include <cstdlib>

#include "export/testing/test_case_tagger.h"
#include "gtest/gtest.h"
#include "labels/label_set.h"
#include "profiler/sample_tagger.h"

namespace curg::internal {
namespace {

// Never destroyed: the writer may use it when GoogleTest has deleted its listeners.
TestCaseTagger* Tagger() {
  static TestCaseTagger* const tagger = new TestCaseTagger;
  return tagger;
}

class CaseListener final : public testing::EmptyTestEventListener {
 public:
  void OnTestProgramStart(const testing::UnitTest&) override {
    if (const char* target = std::getenv("TEST_TARGET")) {  // NOLINT(concurrency-mt-unsafe)
      target_ = Labels::Of({{"test_target", target}});
    }
    tagger_->Begin(SampleTime(), target_);
    // release: pairs with the writer's load
    TheSampleTagger().store(tagger_, std::memory_order_release);
  }

  // A suite's own set-up, and what is between its cases, has the suite only.
  void OnTestSuiteStart(const testing::TestSuite& suite) override {
    suite_ = target_.With({{"test_suite", suite.name()}});
    tagger_->Begin(SampleTime(), suite_);
  }
  void OnTestStart(const testing::TestInfo& test) override {
    tagger_->Begin(SampleTime(), suite_.With({{"test_case", test.name()}}));
  }
  void OnTestEnd(const testing::TestInfo&) override { tagger_->Begin(SampleTime(), suite_); }
  void OnTestSuiteEnd(const testing::TestSuite&) override { tagger_->Begin(SampleTime(), target_); }

 private:
  TestCaseTagger* const tagger_ = Tagger();
  Labels target_;
  Labels suite_;
};

[[maybe_unused]] const bool added = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new CaseListener);
  return true;
}();

}  // namespace
}  // namespace curg::internal
