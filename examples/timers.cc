// SPDX-License-Identifier: Apache-2.0
//
// Timers: a ticker and an alarm in one select, a task that starts later, and one that is cancelled.
//
//   ./bazelw run -c opt //examples:timers
//
// You will see three ticks, then that nothing came for a while, then the task that started late.

#include <chrono>
#include <cstdio>

#include "export/command_line.h"
#include "runtime/delayed_task.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/select.h"
#include "runtime/sync/ticker.h"

namespace {

using namespace std::chrono_literals;

// Each tick sets the alarm anew; when the ticker stops, the alarm goes off.
void WatchTicks() {
  curg::Ticker ticker(20ms);
  curg::Alarm quiet(10s);
  int ticks = 0;
  for (bool watching = true; watching;) {
    curg::Select(curg::OnReceive(ticker.ticks(),
                                 [&](auto) {
                                   std::printf("tick %d\n", ++ticks);
                                   if (ticks == 3) ticker.Stop();
                                   quiet.Reset(ticks == 3 ? 50ms : 10s);
                                 }),
                 curg::OnReceive(quiet.channel(), [&](auto) { watching = false; }));
  }
  std::printf("nothing for 50 ms\n");
}

void StartLater() {
  curg::Channel<int> answers;
  curg::DelayedTask wrong = curg::GoAfter(1h, [&] { answers.Send(41); });
  curg::DelayedTask right = curg::GoAfter(1h, [&] { answers.Send(42); });
  wrong.Cancel();
  right.Reset(20ms);
  std::printf("the answer is %d\n", answers.Receive().value());
}

}  // namespace

int main(int argc, char** argv) {
  curg::ParseCommandLine(
      argc, argv,
      "A ticker and an alarm in one select, a task that starts later, and one that is cancelled.");
  curg::Run([] {
    WatchTicks();
    StartLater();
  });
}
