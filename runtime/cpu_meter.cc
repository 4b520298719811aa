// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_meter.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/tick_clock.h"

namespace curg::internal {
namespace {

// All meters, and what is known without them.
struct Meters {
  std::mutex lock;
  // All guarded by lock.
  std::vector<CpuMeter*> all;
  std::array<int, 3> users = {};  // by what they wish
  uint32_t last_epoch = 0;
  uint32_t last_tasks = 0;

  int& UsersWith(CpuMeter::Wish wish) { return users[static_cast<size_t>(wish)]; }
  bool Insistent() {
    return UsersWith(CpuMeter::Wish::kTags) + UsersWith(CpuMeter::Wish::kTagsAndTasks) > 0;
  }
  bool Used() { return Insistent() || UsersWith(CpuMeter::Wish::kTagsIfCheap) > 0; }
  CpuTotals folded;  // of threads that ended, and of tags that others took the entries of
};

Meters& All() {
  static Meters* const meters = new Meters;  // never destroyed: threads may outlive static objects
  return *meters;
}

// By one thread, read by others. relaxed, everywhere: numbers alone.
void AddTo(std::atomic<int64_t>& sum, int64_t ns) {
  sum.store(sum.load(std::memory_order_relaxed) + ns, std::memory_order_relaxed);
}

void AddTag(CpuTotals& totals, const Tag* tag, int64_t ns) {
  if (ns == 0) return;
  const auto found = totals.tags.find(tag);
  if (found != totals.tags.end()) {
    found->second.ns += ns;
  } else if (totals.tags.size() < CpuMeter::kTagsMax) {
    totals.tags[tag] = {.tag = TagRef::Share(tag), .ns = ns};
  } else {
    totals.other_ns += ns;
  }
}

// The next number that is not 0.
uint32_t Next(uint32_t& last) {
  if (++last == 0) ++last;
  return last;
}

// Whether TickClock counts what __rdtsc() does.
bool TicksAreTsc() {
  constexpr uint64_t kClose = uint64_t{1} << 32;  // a second or two
  return TickClock::Now() - __builtin_ia32_rdtsc() + kClose < 2 * kClose;
}

}  // namespace

std::atomic<uint32_t> CpuMeter::epoch_wanted_{0};
std::atomic<uint32_t> CpuMeter::tasks_wanted_{0};

CpuMeter::CpuMeter() : tid_(gettid()) {
  pthread_getcpuclockid(pthread_self(), &clock_);
  TickClock::Calibrate();
  std::lock_guard lock(All().lock);
  cpu_at_start_.store(ThreadCpuNs(), std::memory_order_relaxed);
  cpu_at_tasks_.store(cpu_at_start_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  All().all.push_back(this);
}

CpuMeter::~CpuMeter() {
  std::lock_guard lock(All().lock);
  Fold();
  All().all.erase(std::find(All().all.begin(), All().all.end(), this));
}

int64_t CpuMeter::ThreadCpuNs() const {
  timespec now = {};
  clock_gettime(clock_, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void CpuMeter::Start(Wish wish) {
  std::lock_guard lock(All().lock);
  ++All().UsersWith(wish);
  if (wish == Wish::kTagsAndTasks && All().UsersWith(wish) == 1) {
    for (CpuMeter* meter : All().all) {
      meter->cpu_at_tasks_.store(meter->ThreadCpuNs(), std::memory_order_relaxed);
    }
    // release: pairs with ChargeTask()
    tasks_wanted_.store(Next(All().last_tasks), std::memory_order_release);
  }
  if (On()) return;
  All().folded = {};
  for (CpuMeter* meter : All().all) {
    meter->cpu_at_start_.store(meter->ThreadCpuNs(), std::memory_order_relaxed);
  }
  // release: pairs with EndSlice()
  epoch_wanted_.store(Next(All().last_epoch), std::memory_order_release);
}

void CpuMeter::Stop(Wish wish) {
  std::lock_guard lock(All().lock);
  --All().UsersWith(wish);
  if (All().UsersWith(Wish::kTagsAndTasks) == 0) tasks_wanted_.store(0, std::memory_order_relaxed);
  if (All().Used()) return;
  epoch_wanted_.store(0, std::memory_order_relaxed);
  All().folded = {};
}

void CpuMeter::GiveUp() {
  std::lock_guard lock(All().lock);
  if (All().Insistent()) return;
  epoch_wanted_.store(0, std::memory_order_relaxed);
  All().folded = {};
}

// The numbers go to those of no thread, if they are of the present epoch; then there are none.
void CpuMeter::Fold() {
  open_account_ = kScheduler;
  open_.store(nullptr, std::memory_order_relaxed);
  const uint32_t wanted = epoch_wanted_.load(std::memory_order_relaxed);
  const bool counts = wanted != 0 && wanted == epoch_.load(std::memory_order_relaxed);
  CpuTotals& folded = All().folded;
  for (Entry& entry : entries_) {
    const TagRef tag = TagRef::Adopt(entry.tag.exchange(nullptr, std::memory_order_relaxed));
    const int64_t ns = entry.ns.exchange(0, std::memory_order_relaxed);
    if (counts && tag) AddTag(folded, tag.get(), ns);
  }
  const int64_t untagged = untagged_.ns.exchange(0, std::memory_order_relaxed);
  const int64_t runtime = runtime_.ns.exchange(0, std::memory_order_relaxed);
  if (counts) {
    AddTag(folded, nullptr, untagged);
    folded.runtime_ns += runtime;
  }
}

void CpuMeter::ReleaseIfOff() {
  if (On() || epoch_.load(std::memory_order_relaxed) == 0) return;
  std::lock_guard lock(All().lock);
  if (On()) return;
  Fold();
  epoch_.store(0, std::memory_order_relaxed);
}

// The first slice of an epoch is what the thread has spent since its start: the task ran all the
// while.
void CpuMeter::BeginEpoch(uint32_t epoch) {
  std::lock_guard lock(All().lock);
  Fold();
  epoch_.store(epoch, std::memory_order_relaxed);
  charged_.store(0, std::memory_order_relaxed);
  uncharged_from_ = cpu_at_start_.load(std::memory_order_relaxed);
  since_read_ = 0;
  clock_read_ = 0;  // long ago
  slices_ = 0;
}

int64_t CpuMeter::NextCharge() {
  const uint64_t now = TickClock::Now();
  // relaxed: the thread's own; others read it for what it is
  const int64_t slice = TickClock::ToNs(now - slice_begin_.load(std::memory_order_relaxed));
  slice_begin_.store(now, std::memory_order_relaxed);
  if (clock_read_ != 0 && TickClock::ToNs(now - clock_read_) < kReadClockNs) {
    since_read_ += slice;
    return slice;
  }
  const int64_t cpu = ThreadCpuNs();
  CheckCost(cpu);
  const int64_t charge = cpu - uncharged_from_ - since_read_;
  clock_read_ = now;
  uncharged_from_ = cpu;
  since_read_ = std::max<int64_t>(-charge, 0);  // charged too much: the next slices are charged
                                                // less
  return std::max<int64_t>(charge, 0);
}

void CpuMeter::Replace(Entry& entry, const Tag* tag) {
  tag->Ref();
  std::lock_guard lock(All().lock);
  const TagRef old = TagRef::Adopt(entry.tag.exchange(tag, std::memory_order_relaxed));
  const int64_t ns = entry.ns.exchange(0, std::memory_order_relaxed);
  if (old && On()) AddTag(All().folded, old.get(), ns);
}

CpuMeter::Entry& CpuMeter::EntryOf(Account account) {
  if (account.runtime) return runtime_;
  if (account.tag == nullptr) return untagged_;
  Entry& entry = entries_[(reinterpret_cast<uintptr_t>(account.tag) >> 6) % kEntries];
  if (entry.tag.load(std::memory_order_relaxed) != account.tag) Replace(entry, account.tag);
  return entry;
}

// Where somebody has begun to ask during this slice, the task has run since then: no switch was
// left out any more.
void CpuMeter::ChargeTask(Task& task, int64_t ns) {
  // acquire: pairs with Start()
  const uint32_t wanted = tasks_wanted_.load(std::memory_order_acquire);
  if (wanted == 0) return;
  if (wanted != tasks_seen_) {
    tasks_seen_ = wanted;
    ns = std::clamp<int64_t>(ThreadCpuNs() - cpu_at_tasks_.load(std::memory_order_relaxed), 0, ns);
  }
  AddTo(task.cpu_ns, ns);
}

// What a program pays at first, before it is clear that it goes on like that, is no matter.
void CpuMeter::CheckCost(int64_t cpu) {
  constexpr int64_t kSliceCostNs = 25;
  constexpr int64_t kFreeNs = 250'000;
  const int64_t used = cpu - cpu_at_start_.load(std::memory_order_relaxed);
  if (slices_ * kSliceCostNs <= kFreeNs + used / kCostShareMax) return;
  slices_ = 0;  // where it must go on, this is not asked all the time
  GiveUp();
}

__attribute__((noinline)) void CpuMeter::EndSlice(Task* task, Account from, Account to) {
  // acquire: pairs with Start()
  const uint32_t epoch = epoch_wanted_.load(std::memory_order_acquire);
  if (epoch == 0) return;
  if (epoch != epoch_.load(std::memory_order_relaxed)) BeginEpoch(epoch);
  Entry* entry = open_.load(std::memory_order_relaxed);
  if (entry == nullptr) entry = &EntryOf(from);
  ++slices_;
  const uint32_t version = version_.load(std::memory_order_relaxed);
  version_.store(version + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);  // pairs with the one in InFlight()
  const int64_t ns = NextCharge();
  AddTo(charged_, ns);
  AddTo(entry->ns, ns);
  if (task != nullptr) ChargeTask(*task, ns);
  open_account_ = to;
  open_.store(&EntryOf(to), std::memory_order_relaxed);
  version_.store(version + 2, std::memory_order_release);  // release: pairs with InFlight()
}

void CpuMeter::Leave(Task& task) {
  const Account account = AccountOf(task);
  if (OfTasks()) {
    EndSlice(&task, account, kScheduler);
  } else if (account != open_account_ || !HasBegun()) {
    EndSlice(&task, account, account);  // the task may be gone when the slice ends: the entry keeps
                                        // its tag
  }
}

void CpuMeter::Enter(const Task& next) {
  const Account to = AccountOf(next);
  if (to != open_account_ || OfTasks() || !HasBegun()) EndSlice(nullptr, kScheduler, to);
}

void CpuMeter::Charge(Task& task, const Tag* tag) {
  const Account from = AccountOf(task);
  EndSlice(&task, from, from.runtime ? from : Account{.tag = tag});
}

bool CpuMeter::Has(pid_t tid) {
  std::lock_guard lock(All().lock);
  return std::any_of(All().all.begin(), All().all.end(),
                     [tid](const CpuMeter* meter) { return meter->tid_ == tid; });
}

CpuTotals::Slice CpuMeter::InFlight(bool of_epoch) {
  constexpr int kTries = 100;  // it may wait for the lock that this holds; then nothing is in
                               // flight
  CpuTotals::Slice slice = {.tid = tid_};
  for (int i = 0; i < kTries; ++i) {
    // acquire: pairs with EndSlice()
    const uint32_t version = version_.load(std::memory_order_acquire);
    const int64_t charged = of_epoch ? charged_.load(std::memory_order_relaxed) : 0;
    const int64_t cpu = ThreadCpuNs() - cpu_at_start_.load(std::memory_order_relaxed);
    const Entry* const open = of_epoch ? open_.load(std::memory_order_relaxed) : nullptr;
    slice.since = slice_begin_.load(std::memory_order_relaxed);
    slice.ns = std::max<int64_t>(cpu - charged, 0);
    slice.known = open != nullptr;
    slice.runtime = open == &runtime_;
    slice.tag = slice.known ? TagRef::Share(open->tag.load(std::memory_order_relaxed)) : TagRef();
    std::atomic_thread_fence(std::memory_order_acquire);  // pairs with the one in EndSlice()
    if (version % 2 == 0 && version == version_.load(std::memory_order_relaxed)) break;
  }
  return slice;
}

CpuTotals CpuMeter::Read() {
  std::lock_guard lock(All().lock);
  CpuTotals totals = All().folded;
  const uint32_t wanted = epoch_wanted_.load(std::memory_order_relaxed);
  totals.epoch = wanted;
  if (wanted == 0) return totals;
  const bool of_tsc = TicksAreTsc();
  for (CpuMeter* meter : All().all) {
    const bool of_epoch = meter->epoch_.load(std::memory_order_relaxed) == wanted;
    if (of_epoch) {
      totals.runtime_ns += meter->runtime_.ns.load(std::memory_order_relaxed);
      AddTag(totals, nullptr, meter->untagged_.ns.load(std::memory_order_relaxed));
      for (const Entry& entry : meter->entries_) {
        const Tag* const tag = entry.tag.load(std::memory_order_relaxed);
        if (tag != nullptr) AddTag(totals, tag, entry.ns.load(std::memory_order_relaxed));
      }
    }
    CpuTotals::Slice slice = meter->InFlight(of_epoch);
    if (slice.ns == 0) continue;
    if (!of_tsc) slice.since = UINT64_MAX;
    totals.in_flight_ns += slice.ns;
    totals.slices.push_back(std::move(slice));
  }
  return totals;
}

}  // namespace curg::internal
