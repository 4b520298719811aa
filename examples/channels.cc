// SPDX-License-Identifier: Apache-2.0
//
// Channels and select: a pipeline of tasks, and a consumer that does not wait for ever.
//
//   ./bazelw run -c opt //examples:channels
//
// You will see one line for the pause that the producer makes, then how many primes there are below
// 10000 and their sum: 1229 primes, sum 5736396.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>

#include "export/command_line.h"
#include "runtime/go.h"
#include "runtime/sync/channel.h"
#include "runtime/sync/select.h"
#include "runtime/sync/wait_group.h"

namespace {

using namespace std::chrono_literals;

constexpr int kLimit = 10'000;
constexpr int kWorkers = 4;

bool IsPrime(int n) {
  for (int i = 2; i * i <= n; ++i) {
    if (n % i == 0) return false;
  }
  return n >= 2;
}

// Sends every number below the limit, with a pause half way, and closes the channel.
void Produce(curg::Channel<int>& numbers) {
  for (int n = 0; n < kLimit; ++n) {
    if (n == kLimit / 2) curg::SleepFor(500ms);
    numbers.Send(n);
  }
  numbers.Close();
}

// Passes on the primes among the numbers until there are no more.
void Sieve(curg::Channel<int>& numbers, curg::Channel<int>& primes, curg::WaitGroup& sieves) {
  for (int n : numbers) {
    if (IsPrime(n)) primes.Send(n);
  }
  sieves.Done();
}

}  // namespace

int main(int argc, char** argv) {
  curg::ParseCommandLine(
      argc, argv,
      "A pipeline of tasks over channels, which looks for primes; select with a timeout.");
  curg::Run([] {
    curg::Channel<int> numbers(16);
    curg::Channel<int> primes;  // unbuffered: handed from task to task
    curg::WaitGroup sieves(kWorkers);

    auto producer = curg::Go([&] { Produce(numbers); });
    for (int i = 0; i < kWorkers; ++i) curg::Go([&] { Sieve(numbers, primes, sieves); }).Detach();
    auto closer = curg::Go([&] {
      sieves.Wait();
      primes.Close();
    });

    int count = 0;
    int64_t sum = 0;
    bool quiet = false;  // say it once
    for (bool open = true; open;) {
      auto take = [&](std::optional<int> prime) {
        open = prime.has_value();
        if (!open) return;
        ++count;
        sum += *prime;
      };
      auto complain = [&] {
        if (!quiet) std::printf("no prime for 50 ms\n");
        quiet = true;
      };
      curg::Select(curg::OnReceive(primes, take), curg::OnTimeout(50ms, complain));
    }
    std::printf("%d primes, sum %lld\n", count, static_cast<long long>(sum));
    producer.Join();
    closer.Join();
  });
}
