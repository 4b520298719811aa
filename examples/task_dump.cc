// SPDX-License-Identifier: Apache-2.0
//
// A program that is stuck in part, and what its task dump tells.
//
//   ./bazelw run -c opt //examples:task_dump
//
// Two tasks move money between two accounts, each with the mutexes in its own order, and end up
// waiting for each other; ten tasks wait for a channel that nobody sends to any more; one gets on.
// On standard error you will see what `kill -QUIT <pid>` shows as well:
//
//   partial deadlock: 2 tasks wait for each other: task 2 -> task 3 -> task 2
//                          ... with both stacks: `Transfer` at its second lock, and who holds what
//   task 4 "audit" {"job":"audit"} [channel receive on 0x..., 200ms]:
//                          ... ten of them, leaked: the spawn site says who forgot them
//   task 14 "ticker" [sleep, ... left]
//
// Then only the leaks, asked for by age and label, and grouped: ten tasks of one stack are one
// paragraph. And tasks.pb.gz, for `go tool pprof -tags tasks.pb.gz`.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

#include "export/command_line.h"
#include "export/label_filter.h"
#include "export/task_dump.h"
#include "export/task_pprof.h"
#include "export/task_text.h"
#include "labels/labels.h"
#include "profiler/task_profiler.h"
#include "profiler/wait_graph.h"
#include "runtime/go.h"
#include "runtime/sync/barrier.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/mutex.h"

namespace {

using namespace std::chrono_literals;

struct Account {
  curg::Mutex mutex;
  long balance = 100;
};

// The bug: whoever moves money the other way locks in the other order. It shows when two meet
// between their locks.
[[gnu::noinline]] void Transfer(Account& from, Account& to, curg::Barrier& meet) {
  const std::lock_guard first(from.mutex);
  meet.ArriveAndWait();
  const std::lock_guard second(to.mutex);
  --from.balance;
  ++to.balance;
}

// The other bug: nobody ever closes the channel.
[[gnu::noinline]] void Audit(curg::Channel<int>& requests) {
  while (requests.Receive()) {
  }
}

void Start(Account& a, Account& b, curg::Channel<int>& requests) {
  static curg::Barrier meet(2);
  curg::Go({.name = "transfer"}, [&] { Transfer(a, b, meet); }).Detach();
  curg::Go({.name = "transfer"}, [&] { Transfer(b, a, meet); }).Detach();
  const curg::ScopedLabels labels({{"job", "audit"}});
  for (int i = 0; i < 10; ++i) curg::Go({.name = "audit"}, [&] { Audit(requests); }).Detach();
}

int Main() {
  curg::KeepMutexOwners(true);  // so that dumps know who holds what
  if (absl::Status status = curg::InstallTaskDumpSignal(); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
  }
  static Account a;
  static Account b;
  static curg::Channel<int> requests;
  Start(a, b, requests);
  curg::Go({.name = "ticker"}, [] {
    while (true) curg::SleepFor(50ms);
  }).Detach();

  const auto filter = curg::LabelFilter::Parse({"job=audit"}).value();
  const auto find_leaks = [&filter] {
    return curg::CollectTaskProfile({
        .status = curg::TaskStatus::kParked,
        .age_min = 100ms,
        .tag = [&filter](const curg::Tag* tag) { return filter.Matches(tag); },
    });
  };
  // Until all is stuck that will be.
  while (find_leaks().matching < 10 || curg::WaitCycles(curg::CollectTaskProfile()).empty()) {
    curg::SleepFor(50ms);
  }

  kill(getpid(), SIGQUIT);  // as an operator would; the program goes on

  const curg::TaskProfile leaks = find_leaks();
  std::printf("parked for 100 ms and more, labelled job=audit:\n%s",
              curg::GroupedTaskText(leaks).c_str());
  const absl::Status written = curg::WriteTaskPprof(curg::CollectTaskProfile(), "tasks.pb.gz");
  if (!written.ok()) std::fprintf(stderr, "%s\n", written.ToString().c_str());
  std::fflush(stdout);
  curg::SleepFor(500ms);  // the dump takes about as long as all that
  std::_Exit(0);          // its tasks would never end
}

}  // namespace

int main(int argc, char** argv) {
  curg::ParseCommandLine(
      argc, argv,
      "A program that is stuck in part, and what its task dump tells: on standard error, and in\n"
      "tasks.pb.gz.");
  return curg::Run(&Main);
}
