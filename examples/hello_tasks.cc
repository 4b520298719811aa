// SPDX-License-Identifier: Apache-2.0
//
// Tasks, labels and a CPU profile: the program of README.md.
//
//   ./bazelw run -c opt //examples:hello_tasks     writes cpu.pb.gz
//   go tool pprof -tags cpu.pb.gz
//
// You will see two sums, and that three quarters of the time carry the label `job: large`.

#include <cstdio>
#include <vector>

#include "export/pprof.h"
#include "labels/labels.h"
#include "runtime/go.h"

int main() {
  return curg::Run([] {
    auto profile = curg::CpuProfileToFile::Start("cpu.pb.gz").value();
    std::vector<curg::JoinHandle<double>> tasks;
    for (const char* job : {"small", "large"}) {
      curg::ScopedLabels labels({{"job", job}});  // tasks inherit them
      const int terms = *job == 's' ? 100'000'000 : 300'000'000;
      tasks.push_back(curg::Go([terms] {
        double sum = 0;
        for (int i = 0; i < terms; ++i) sum += 1.0 / (1.0 + i);
        return sum;
      }));
    }
    for (auto& task : tasks) std::printf("%.6f\n", task.Join());
    return profile.Stop().ok() ? 0 : 1;  // then: go tool pprof -tags cpu.pb.gz
  });
}
