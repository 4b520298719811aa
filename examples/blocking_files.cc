// SPDX-License-Identifier: Apache-2.0
//
// Calls that block their thread, from tasks: files, and whatever else a C library does.
//
// You will see: 64 tasks read files and call a slow library function on two workers; they take
// turns in less time than one after the other, while a task that ticks every millisecond is hardly
// ever late. Then the same with at most four calls at a time, and a call that is told to stop.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "export/command_line.h"
#include "labels/labels.h"
#include "runtime/blocking.h"
#include "runtime/file.h"
#include "runtime/go.h"
#include "runtime/stats.h"

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Stands for a client library without an asynchronous interface.
size_t SlowLibraryCall(const std::string& text) {
  std::this_thread::sleep_for(milliseconds(20));
  return text.size();
}

double Milliseconds(steady_clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

void ManyCalls(const char* what) {
  const auto start = steady_clock::now();
  std::stop_source done;
  auto ticker = curg::Go([token = done.get_token()] {
    steady_clock::duration latest{};
    while (!token.stop_requested()) {
      const auto due = steady_clock::now() + milliseconds(1);
      curg::SleepUntil(due);
      latest = std::max(latest, steady_clock::now() - due);
    }
    return latest;
  });
  std::vector<curg::JoinHandle<size_t>> tasks;
  for (int i = 0; i < 64; ++i) {
    tasks.push_back(curg::Go([] {
      const auto text = curg::ReadFile("/proc/self/maps");
      return text.ok() ? curg::Blocking([&] { return SlowLibraryCall(*text); }) : 0;
    }));
  }
  curg::SleepFor(milliseconds(10));
  const curg::RuntimeStats stats = curg::ReadStats();
  size_t bytes = 0;
  for (auto& task : tasks) bytes += task.Join();
  done.request_stop();
  std::printf(
      "%s: 64 calls of 20 ms in %.0f ms (%d after 10 ms, %d waited), %zu bytes; a tick at most "
      "%.1f ms late\n",
      what, Milliseconds(steady_clock::now() - start), static_cast<int>(stats.tasks_blocking),
      static_cast<int>(stats.blocking_queue), bytes, Milliseconds(ticker.Join()));
}

// What runs is told by its token.
void StoppedCall() {
  const auto result =
      curg::BlockingUntil(curg::Deadline::After(milliseconds(30)), [](const std::stop_token& stop) {
        int rounds = 0;
        while (!stop.stop_requested()) {
          std::this_thread::sleep_for(milliseconds(5));
          ++rounds;
        }
        return rounds;
      });
  std::printf("a call with a deadline after 30 ms stopped after %d rounds of 5 ms\n",
              result.value.value_or(0));
}

}  // namespace

int main(int argc, char** argv) {
  curg::ParseCommandLine(
      argc, argv,
      "Files and slow library calls that hold up nobody; a bound; a call told to stop.");
  curg::Run({.workers = 2}, [] {
    ManyCalls("as many as come");
    StoppedCall();
  });
  curg::Run({.workers = 2, .blocking_max = 4}, [] { ManyCalls("four at a time"); });
}
