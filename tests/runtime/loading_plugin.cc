// SPDX-License-Identifier: Apache-2.0
//
// A shared object for traceback_loading_test that takes its time wherever the loader calls it: to
// choose a function while it is relocated, to set itself up, and to end. It calls nobody: while it
// is relocated it has no PLT yet.

namespace {

void Burn() {
  const unsigned long long begin = __builtin_ia32_rdtsc();
  while (__builtin_ia32_rdtsc() - begin < 2'000'000) {
  }
}

__attribute__((constructor)) void SetUp() { Burn(); }
__attribute__((destructor)) void End() { Burn(); }

int Chosen() { return 7; }

}  // namespace

extern "C" {
__attribute__((used)) int (*curg_test_choose())() {
  Burn();
  return &Chosen;
}
int curg_test_chosen() __attribute__((ifunc("curg_test_choose")));
int curg_test_loading() { return curg_test_chosen(); }
}
