// SPDX-License-Identifier: Apache-2.0
//
// gperftools' CPU profiler on the work that curg's is measured on (../../profiler_peers.cc, which
// builds and runs this and reads what it prints: "accounted", and "overhead" in percent).
//   gperftools THREADS FILE PAIRS   with CPUPROFILE_FREQUENCY set
#include <gperftools/profiler.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "tests/benchmark/peers/profilers/matrix_product.h"

namespace {

double Seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The file is words: a header of 3 that ends with the period, then count, depth, stack each.
double CreditedSeconds(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const auto* words = reinterpret_cast<const uint64_t*>(bytes.data());
  const size_t size = bytes.size() / sizeof(uint64_t);
  if (size < 5) return 0;
  uint64_t count = 0;
  for (size_t i = 2 + words[1]; i + 1 < size && words[i] != 0; i += 2 + words[i + 1]) {
    count += words[i];
  }
  return static_cast<double>(count) * static_cast<double>(words[3]) * 1e-6;
}

double Accounted(int threads, const char* path) {
  ProfilerStart(path);
  const double start = Seconds(CLOCK_PROCESS_CPUTIME_ID);
  std::vector<std::thread> busy;
  for (int i = 0; i < threads; ++i) {
    busy.emplace_back([] {
      volatile uint64_t sink = 1;
      while (Seconds(CLOCK_THREAD_CPUTIME_ID) < 1.5) {
        for (int n = 0; n < 20'000; ++n) sink = sink * 3 + 1;
      }
    });
  }
  for (std::thread& thread : busy) thread.join();
  const double used = Seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
  ProfilerStop();
  return CreditedSeconds(path) / used;
}

double OverheadPercent(int pairs) {
  peers::MatrixProduct product;
  volatile double sink = 0;
  std::vector<double> ratios;
  for (int i = 0; i < pairs; ++i) {
    double times[2];
    for (int n = 0; n < 2; ++n) {
      const int on = (i + n) % 2;
      if (on != 0) ProfilerStart("/dev/null");
      const double start = Seconds(CLOCK_THREAD_CPUTIME_ID);
      sink = product.Run();
      times[on] = Seconds(CLOCK_THREAD_CPUTIME_ID) - start;
      if (on != 0) ProfilerStop();
    }
    ratios.push_back(times[1] / times[0]);
  }
  (void)sink;
  std::nth_element(ratios.begin(), ratios.begin() + pairs / 2, ratios.end());
  return 100 * (ratios[static_cast<size_t>(pairs) / 2] - 1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::printf("accounted %.6f\n", Accounted(std::atoi(argv[1]), argv[2]));
  std::printf("overhead %.6f\n", OverheadPercent(std::atoi(argv[3])));
  return 0;
}
