// SPDX-License-Identifier: Apache-2.0
//
// Has tasks for gdb_test.sh to find, and stops.
#include <signal.h>

#include <chrono>

#include "runtime/go.h"
#include "runtime/stats.h"
#include "runtime/sync/channel.h"

namespace {

[[gnu::noinline]] void WaitsForAValue(curg::Channel<int>& channel) {
  channel.Receive();
  asm volatile("");
}

[[gnu::noinline]] void CallsOneThatWaits(curg::Channel<int>& channel) {
  WaitsForAValue(channel);
  asm volatile("");
}

[[gnu::noinline]] void StopsHere() {
  raise(SIGTRAP);
  asm volatile("");
}

}  // namespace

int main() {
  return curg::Run({.workers = 2}, [] {
    curg::Channel<int> channel;
    auto reader = curg::Go({.name = "reader"}, [&] { CallsOneThatWaits(channel); });
    auto sleeper = curg::Go({.name = "a sleeper with a long name"},
                            [] { curg::SleepFor(std::chrono::hours(1)); });
    sleeper.Detach();
    for (curg::RuntimeStats stats; stats.parks < 2 || stats.tasks_running > 1;) {
      curg::Yield();
      stats = curg::ReadStats();
    }
    StopsHere();
    channel.Send(1);
    reader.Join();
    return 0;
  });
}
