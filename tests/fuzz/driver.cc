// SPDX-License-Identifier: Apache-2.0
//
// Runs a fuzz target as a test: on each seed file as it is, and on a fixed number of changed ones,
// the same in every run. (libFuzzer, with its own main, looks for new ones: see fuzz.bzl.)
//
//   driver ROUNDS SEED...

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void RunOne(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::string Read(const char* path) {
  std::ostringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

// One change: bytes set, taken from another seed, inserted, removed or repeated. The first three
// are in place, so that what is behind them stays where offsets say it is.
void Change(std::string& text, const std::string& other, bool in_place, std::mt19937& random) {
  if (text.empty()) text = other;
  if (text.empty()) return;
  const size_t at = random() % text.size();
  const size_t length = std::min(1 + random() % 8, text.size() - at);
  switch (random() % (in_place ? 3 : 6)) {
    case 0:
      text[at] = static_cast<char>(random());
      break;
    case 1:
      text[at] = static_cast<char>(text[at] ^ (1 << random() % 8));
      break;
    case 2:
      for (size_t i = 0; i < length; ++i) text[at + i] = other[random() % other.size()];
      break;
    case 3:
      text.insert(at, length, static_cast<char>(random()));
      break;
    case 4:
      text.erase(at, length);
      break;
    default:
      text.insert(at, text.substr(at, length));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: driver ROUNDS SEED...\n");
    return 2;
  }
  const int rounds = std::atoi(argv[1]);
  std::vector<std::string> seeds;
  for (int i = 2; i < argc; ++i) seeds.push_back(Read(argv[i]));
  for (const std::string& seed : seeds) RunOne(seed);
  std::mt19937 random(1);
  for (int round = 0; round < rounds; ++round) {
    std::string text = seeds[random() % seeds.size()];
    const bool in_place = random() % 2 == 0;
    for (size_t changes = 1 + random() % 6; changes > 0; --changes) {
      Change(text, seeds[random() % seeds.size()], in_place, random);
    }
    RunOne(text);
  }
  std::printf("%d inputs\n", rounds + static_cast<int>(seeds.size()));
  return 0;
}
