// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/sync/model/explorer.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <utility>

namespace curg::model {
namespace {

constexpr int kStepsMax = 20000;  // more is a livelock

// A decision: which of `options` was taken, and what taking another costs in preemptions.
struct Decision {
  uint32_t taken;
  uint32_t options;
  bool costs;  // all but the first are preemptions
};

// A place to run on, used again for one schedule after the other.
struct Stack {
  ucontext_t context;
  std::vector<char> memory = std::vector<char>(256 << 10);
};

struct Thread {
  std::function<void()> body;
  const bool* awake = nullptr;  // set: sleeps until it is true
  bool may_time_out = false;
  bool timed_out = false;
  bool spins = false;
  bool done = false;
};

class Explorer;
Explorer* g_explorer = nullptr;
int g_self = -1;  // the running thread

// One schedule at a time, all its threads on one thread of the system.
class Explorer {
 public:
  Explorer(const Options& options, const Scenario& scenario)
      : options_(options), scenario_(scenario) {}

  int64_t Run();

  void Step(bool spins);
  void Progress();
  bool Sleep(const bool* awake, bool may_time_out);
  uint32_t Decide(uint32_t options, bool costs);
  [[noreturn]] void Fail(const char* what);

 private:
  void RunSchedule();
  static void RunThread();
  static void Prepare(Stack& stack);
  void SwitchTo(ucontext_t* from, int next);
  bool Backtrack();
  bool IsReady(const Thread& thread) const {
    return !thread.done && (thread.awake == nullptr || *thread.awake || thread.may_time_out);
  }
  int PickNext(int self);
  int Pick(const std::vector<int>& ready, const std::vector<int>& expiring, bool goes_on);
  int Resume(int index);
  void SwitchFrom(int self);

  const Options options_;
  const Scenario& scenario_;
  std::vector<std::unique_ptr<Stack>> stacks_;
  std::vector<Thread> threads_;
  ucontext_t home_;  // of Run
  std::vector<Decision> decisions_;
  size_t depth_ = 0;     // decisions made in this schedule
  int preemptions_ = 0;  // in this schedule
  int steps_ = 0;
  std::optional<std::mt19937> random_;  // set in the random phase
};

int64_t Explorer::Run() {
  int64_t schedules = 0;
  do {
    RunSchedule();
    if (++schedules > options_.schedules_max) Fail("more schedules than the test allows for");
  } while (Backtrack());
  for (int seed = 1; seed <= options_.random_schedules; ++seed, ++schedules) {
    random_.emplace(seed);
    decisions_.clear();
    RunSchedule();
  }
  return schedules;
}

void Explorer::RunSchedule() {
  depth_ = 0;
  preemptions_ = 0;
  steps_ = 0;
  std::vector<std::function<void()>> bodies = scenario_();
  threads_.assign(bodies.size(), Thread());
  for (size_t i = 0; i < bodies.size(); ++i) {
    threads_[i].body = std::move(bodies[i]);
    if (i == stacks_.size()) stacks_.push_back(std::make_unique<Stack>());
    Prepare(*stacks_[i]);
  }
  SwitchTo(&home_, PickNext(-1));
  g_self = -1;
  threads_.clear();
}

void Explorer::Prepare(Stack& stack) {
  getcontext(&stack.context);
  stack.context.uc_stack.ss_sp = stack.memory.data();
  stack.context.uc_stack.ss_size = stack.memory.size();
  stack.context.uc_link = nullptr;
  makecontext(&stack.context, &RunThread, 0);
}

void Explorer::SwitchTo(ucontext_t* from, int next) {
  g_self = next;
  swapcontext(from, &stacks_[next]->context);
}

void Explorer::RunThread() {
  Explorer& explorer = *g_explorer;
  Thread& thread = explorer.threads_[g_self];
  thread.body();
  thread.done = true;
  ucontext_t* const own = &explorer.stacks_[g_self]->context;
  bool all_done = true;
  for (const Thread& other : explorer.threads_) all_done &= other.done;
  if (all_done) swapcontext(own, &explorer.home_);
  explorer.SwitchTo(own, explorer.PickNext(g_self));
}

// The next schedule in depth-first order: the last decision that has an alternative takes it.
bool Explorer::Backtrack() {
  while (!decisions_.empty()) {
    Decision& last = decisions_.back();
    if (last.taken + 1 < last.options) {
      ++last.taken;
      return true;
    }
    decisions_.pop_back();
  }
  return false;
}

uint32_t Explorer::Decide(uint32_t options, bool costs) {
  if (options == 1) return 0;
  if (random_) {
    decisions_.push_back({static_cast<uint32_t>((*random_)() % options), options, costs});
    return decisions_.back().taken;
  }
  if (costs && preemptions_ >= options_.preemptions_max) return 0;
  if (depth_ == decisions_.size()) decisions_.push_back({0, options, costs});
  const Decision& decision = decisions_[depth_++];
  if (decision.options != options) Fail("the scenario is not deterministic");
  if (costs && decision.taken != 0) ++preemptions_;
  return decision.taken;
}

// Who goes next: the caller if it can go on; else any that can; else those that spin. To preempt
// the caller, or to let a deadline strike while somebody could go on, costs.
int Explorer::PickNext(int self) {
  if (++steps_ > kStepsMax) Fail("livelock");
  std::vector<int> ready;
  std::vector<int> spinning;
  std::vector<int> expiring;
  for (int i = 0; i < static_cast<int>(threads_.size()); ++i) {
    const Thread& thread = threads_[i];
    if (!IsReady(thread)) continue;
    const bool expires = thread.awake != nullptr && !*thread.awake;
    (expires ? expiring : thread.spins ? spinning : ready).push_back(i);
  }
  if (ready.empty()) ready = spinning;
  const auto own = std::find(ready.begin(), ready.end(), self);
  const bool goes_on = own != ready.end();
  if (goes_on) std::rotate(ready.begin(), own, own + 1);
  return Resume(Pick(ready, expiring, goes_on));
}

int Explorer::Pick(const std::vector<int>& ready, const std::vector<int>& expiring, bool goes_on) {
  if (ready.empty() && expiring.empty()) Fail("deadlock");
  if (ready.empty()) return expiring[Decide(expiring.size(), false)];
  if (!expiring.empty() && Decide(2, true) == 1) return expiring[Decide(expiring.size(), false)];
  return ready[Decide(ready.size(), goes_on)];
}

// Gives the thread back what it needs to go on.
int Explorer::Resume(int index) {
  Thread& next = threads_[index];
  next.timed_out = next.awake != nullptr && !*next.awake;
  next.awake = nullptr;
  next.may_time_out = false;
  return index;
}

void Explorer::SwitchFrom(int self) {
  const int next = PickNext(self);
  if (next == self) return;
  SwitchTo(&stacks_[self]->context, next);
}

void Explorer::Step(bool spins) {
  threads_[g_self].spins = spins;
  SwitchFrom(g_self);
  threads_[g_self].spins = false;
}

void Explorer::Progress() {
  for (Thread& thread : threads_) thread.spins = false;
}

bool Explorer::Sleep(const bool* awake, bool may_time_out) {
  Thread& thread = threads_[g_self];
  thread.awake = awake;
  thread.may_time_out = may_time_out;
  thread.timed_out = false;
  SwitchFrom(g_self);
  return !thread.timed_out;
}

void Explorer::Fail(const char* what) {
  std::fprintf(stderr, "model: thread %d: %s; schedule:", g_self, what);
  for (const Decision& decision : decisions_) std::fprintf(stderr, " %u", decision.taken);
  std::fprintf(stderr, "\n");
  std::abort();
}

}  // namespace

int64_t Explore(const Options& options, const Scenario& scenario) {
  Explorer explorer(options, scenario);
  g_explorer = &explorer;
  const int64_t schedules = explorer.Run();
  g_explorer = nullptr;
  return schedules;
}

void Expect(bool condition, const char* what) {
  if (!condition) g_explorer->Fail(what);
}

void Step() {
  if (g_self >= 0) g_explorer->Step(false);
}

void Progress() {
  if (g_self >= 0) g_explorer->Progress();
}

void SpinStep() {
  if (g_self >= 0) g_explorer->Step(true);
}

bool Sleep(const bool* awake, bool may_time_out) { return g_explorer->Sleep(awake, may_time_out); }

uint32_t Choose(uint32_t n) { return g_self >= 0 ? g_explorer->Decide(n, false) : 0; }

int Self() { return g_self; }

}  // namespace curg::model
