// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_meter.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/monotonic_clock.h"
#include "runtime/task_slab.h"
#include "runtime/tick_clock.h"

namespace curg::internal {
namespace {

// All meters, and what is known without them.
struct Meters {
  std::mutex lock;
  // All guarded by lock.
  std::vector<CpuMeter*> all;
  std::array<int, 3> users = {};  // by what they wish
  uint32_t session = 0;           // from the first user's Start to the last one's Stop; 0: none
  uint32_t last_session = 0;
  uint32_t last_epoch = 0;
  uint32_t last_tasks = 0;
  bool given_up = false;
  int64_t given_up_at = 0;  // RealNow
  MeteredTimes times;

  int& UsersWith(CpuMeter::Wish wish) { return users[static_cast<size_t>(wish)]; }
  bool Insistent() {
    return UsersWith(CpuMeter::Wish::kTags) + UsersWith(CpuMeter::Wish::kTagsAndTasks) > 0;
  }
  bool Used() { return Insistent() || UsersWith(CpuMeter::Wish::kTagsIfCheap) > 0; }
  CpuTotals folded;  // of threads that ended, and of tags that others took the entries of
};

constexpr int64_t kTryAgainNs = 1'000'000'000;

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
std::atomic<bool> CpuMeter::tags_seen_{false};
std::atomic<int64_t> CpuMeter::slice_cost_ns_{25};

CpuMeter::CpuMeter() : tid_(gettid()) {
  pthread_getcpuclockid(pthread_self(), &clock_);
  TickClock::Calibrate();
  std::lock_guard lock(All().lock);
  cpu_at_start_.store(ThreadCpuNs(), std::memory_order_relaxed);
  cpu_at_tasks_.store(cpu_at_start_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  All().all.push_back(this);
}

CpuMeter::~CpuMeter() {
  if (On()) EndSlice(nullptr, kScheduler, kScheduler);
  std::lock_guard lock(All().lock);
  Fold();
  if (All().session != 0) {
    const int64_t since = On() ? 0 : ThreadCpuNs() - cpu_at_start_.load(std::memory_order_relaxed);
    All().folded.unmetered_ns += unmetered_ns_ + since;
  }
  All().all.erase(std::find(All().all.begin(), All().all.end(), this));
}

int64_t CpuMeter::ThreadCpuNs() const {
  timespec now = {};
  clock_gettime(clock_, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// The best of some attempts: others may have taken the CPU meanwhile. Bounded for builds that are
// instrumented, where everything else is as slow.
int64_t CpuMeter::MeasureSliceNs() {
  constexpr int kAttempts = 5;
  constexpr int kSlices = 200;
  CpuMeter meter;
  uint64_t least = UINT64_MAX;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const uint64_t begin = TickClock::Now();
    for (int i = 0; i < kSlices; ++i) meter.EndSliceNow(nullptr, {}, {.runtime = i % 2 == 0});
    least = std::min(least, TickClock::Now() - begin);
  }
  return std::clamp<int64_t>(TickClock::ToNs(least) / kSlices, 5, 60);
}

void CpuMeter::Start(Wish wish) {
  static const int64_t slice_cost = MeasureSliceNs();
  std::lock_guard lock(All().lock);
  slice_cost_ns_.store(slice_cost, std::memory_order_relaxed);
  ++All().UsersWith(wish);
  if (wish == Wish::kTagsAndTasks && All().UsersWith(wish) == 1) {
    for (CpuMeter* meter : All().all) {
      meter->cpu_at_tasks_.store(meter->ThreadCpuNs(), std::memory_order_relaxed);
    }
    // release: pairs with ChargeTask()
    tasks_wanted_.store(Next(All().last_tasks), std::memory_order_release);
  }
  if (All().session == 0) {
    All().session = Next(All().last_session);
    All().folded = {};
    for (CpuMeter* meter : All().all) {
      meter->unmetered_ns_ = 0;
      meter->cpu_at_start_.store(meter->ThreadCpuNs(), std::memory_order_relaxed);
    }
  }
  if (!On() && (wish == Wish::kTagsAndTasks || TagsInUse())) TurnOn();
}

void CpuMeter::Stop(Wish wish) {
  std::lock_guard lock(All().lock);
  --All().UsersWith(wish);
  if (All().UsersWith(Wish::kTagsAndTasks) == 0) tasks_wanted_.store(0, std::memory_order_relaxed);
  if (All().Used()) return;
  if (On()) All().times.End(__builtin_ia32_rdtsc());
  epoch_wanted_.store(0, std::memory_order_relaxed);
  All().session = 0;
  All().given_up = false;
  All().folded = {};
}

// Whoever gives a tag to a task after the fence sees that nobody has seen one, and says so; what
// was given before is found here. So it costs nothing to have had tags once.
bool CpuMeter::TagsInUse() {
  constexpr int kLookedAtMax = 100'000;  // some milliseconds; with more records, it may be so
  if (!tags_seen_.load(std::memory_order_relaxed)) return false;
  if (!RegisterAsymmetricFence()) return true;
  tags_seen_.store(false, std::memory_order_relaxed);
  HeavyFence();
  int looked_at = 0;
  bool found = false;
  TaskSlab::Instance().ForEach([&](const Task& task) {
    if (found || ++looked_at > kLookedAtMax) return;
    found = task.tag.load(std::memory_order_relaxed) != nullptr;
  });
  found = found || looked_at > kLookedAtMax;
  if (found) tags_seen_.store(true, std::memory_order_relaxed);
  return found;
}

void CpuMeter::WakeUp() {
  std::lock_guard lock(All().lock);
  tags_seen_.store(true, std::memory_order_relaxed);
  if (All().session != 0 && !On() && !All().given_up) TurnOn();
}

void CpuMeter::TryAgain() {
  std::lock_guard lock(All().lock);
  if (All().given_up && RealNow() - All().given_up_at >= kTryAgainNs) TurnOn();
}

void CpuMeter::TurnOn() {
  for (CpuMeter* meter : All().all) {
    const int64_t cpu = meter->ThreadCpuNs();
    meter->unmetered_ns_ += cpu - meter->cpu_at_start_.load(std::memory_order_relaxed);
    meter->cpu_at_start_.store(cpu, std::memory_order_relaxed);
  }
  All().given_up = false;
  All().times.Begin(__builtin_ia32_rdtsc());
  // release: pairs with EndSlice()
  epoch_wanted_.store(Next(All().last_epoch), std::memory_order_release);
}

// What is in flight, and whose nobody knows, was not metered.
void CpuMeter::TurnOff() {
  const uint32_t epoch = epoch_wanted_.load(std::memory_order_relaxed);
  for (CpuMeter* meter : All().all) {
    const CpuTotals::Slice slice =
        meter->InFlight(epoch == meter->epoch_.load(std::memory_order_relaxed));
    meter->cpu_at_start_.store(meter->ThreadCpuNs(), std::memory_order_relaxed);
    if (!slice.known) {
      meter->unmetered_ns_ += slice.ns;
    } else if (slice.runtime) {
      All().folded.runtime_ns += slice.ns;
    } else {
      AddTag(All().folded, slice.tag.get(), slice.ns);
    }
  }
  All().times.End(__builtin_ia32_rdtsc());
  epoch_wanted_.store(0, std::memory_order_relaxed);
}

void CpuMeter::GiveUp() {
  std::lock_guard lock(All().lock);
  if (All().Insistent() || !On()) return;
  TurnOff();
  All().given_up = true;
  All().given_up_at = RealNow();
  ++All().folded.give_ups;
}

bool CpuMeter::OfSession() const { return session_ != 0 && session_ == All().session; }

void CpuMeter::SetOpen(Account account, Entry* entry) {
  open_account_ = account;
  open_tag_ = account.runtime ? static_cast<const void*>(this) : account.tag;
  open_.store(entry, std::memory_order_relaxed);
}

// The numbers go to those of no thread, if they are of the present session; then there are none.
void CpuMeter::Fold() {
  SetOpen(kScheduler, nullptr);
  const bool counts = OfSession();
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
  session_ = All().session;
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
  if (old && OfSession()) AddTag(All().folded, old.get(), ns);
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
  constexpr int64_t kFreeNs = 250'000;
  const int64_t used = cpu - cpu_at_start_.load(std::memory_order_relaxed);
  const int64_t cost = slices_ * slice_cost_ns_.load(std::memory_order_relaxed);
  if (cost <= kFreeNs + used / kCostShareMax) return;
  slices_ = 0;  // where it must go on, this is not asked all the time
  GiveUp();
}

__attribute__((noinline)) void CpuMeter::EndSlice(Task* task, Account from, Account to) {
  // acquire: pairs with Start()
  const uint32_t epoch = epoch_wanted_.load(std::memory_order_acquire);
  if (epoch == 0) return;
  if (epoch != epoch_.load(std::memory_order_relaxed)) BeginEpoch(epoch);
  EndSliceNow(task, from, to);
}

void CpuMeter::EndSliceNow(Task* task, Account from, Account to) {
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
  SetOpen(to, &EntryOf(to));
  version_.store(version + 2, std::memory_order_release);  // release: pairs with InFlight()
  const bool clock_was_read = clock_read_ == slice_begin_.load(std::memory_order_relaxed);
  if (clock_was_read) CheckCost(uncharged_from_);
}

void CpuMeter::SwitchAccount(Task& task, Account to) {
  if (to != open_account_ || OfTasks() || !HasBegun()) EndSlice(&task, AccountOf(task), to);
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

MeteredTimes CpuMeter::Times() {
  std::lock_guard lock(All().lock);
  return All().times;
}

CpuTotals CpuMeter::Read() {
  std::lock_guard lock(All().lock);
  CpuTotals totals = All().folded;
  if (All().session == 0) return totals;
  const uint32_t wanted = epoch_wanted_.load(std::memory_order_relaxed);
  const bool of_tsc = TicksAreTsc();
  for (CpuMeter* meter : All().all) {
    if (meter->OfSession()) {
      totals.runtime_ns += meter->runtime_.ns.load(std::memory_order_relaxed);
      AddTag(totals, nullptr, meter->untagged_.ns.load(std::memory_order_relaxed));
      for (const Entry& entry : meter->entries_) {
        const Tag* const tag = entry.tag.load(std::memory_order_relaxed);
        if (tag != nullptr) AddTag(totals, tag, entry.ns.load(std::memory_order_relaxed));
      }
    }
    totals.unmetered_ns += meter->unmetered_ns_;
    if (wanted == 0) {
      totals.unmetered_ns +=
          meter->ThreadCpuNs() - meter->cpu_at_start_.load(std::memory_order_relaxed);
      continue;
    }
    CpuTotals::Slice slice =
        meter->InFlight(wanted == meter->epoch_.load(std::memory_order_relaxed));
    if (slice.ns == 0) continue;
    if (!of_tsc) slice.since = UINT64_MAX;
    totals.in_flight_ns += slice.ns;
    totals.slices.push_back(std::move(slice));
  }
  return totals;
}

}  // namespace curg::internal
