// SPDX-License-Identifier: Apache-2.0
#include "export/gzip.h"

#include <random>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace curg::internal {
namespace {

constexpr size_t kNoLimit = size_t{1} << 30;

std::string Noise(size_t size) {
  std::mt19937_64 random(7);
  std::string noise(size, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  return noise;
}

TEST(Gzip, RoundTrip) {
  for (const std::string& data : {std::string(), std::string("x"), std::string(5'000'000, 'a'),
                                  Noise(65'536), Noise(1'000'003)}) {
    const absl::StatusOr<std::string> file = Gzip(data);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->substr(0, 2), "\x1F\x8B");
    const absl::StatusOr<std::string> back = Gunzip(*file, kNoLimit);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_TRUE(*back == data) << data.size();
  }
}

TEST(Gzip, EqualDataGivesEqualBytes) { EXPECT_EQ(*Gzip("profile"), *Gzip("profile")); }

TEST(Gzip, GunzipRefusesWhatIsNotWhole) {
  const std::string file = *Gzip(Noise(100'000));
  for (const size_t size : {size_t{0}, size_t{5}, file.size() / 2, file.size() - 1}) {
    EXPECT_EQ(Gunzip(file.substr(0, size), kNoLimit).status().code(), absl::StatusCode::kDataLoss)
        << size;
  }
  EXPECT_EQ(Gunzip("not gzip", kNoLimit).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Gunzip(file + "x", kNoLimit).status().code(), absl::StatusCode::kDataLoss);
  std::string damaged = file;
  damaged[file.size() / 2] ^= 1;
  EXPECT_EQ(Gunzip(damaged, kNoLimit).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Gzip, GunzipIsBounded) {
  const std::string bomb = *Gzip(std::string(10'000'000, '\0'));
  EXPECT_LT(bomb.size(), 20'000u);
  EXPECT_EQ(Gunzip(bomb, 1'000'000).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(Gzip, Crc32IsTheWellKnownOne) {
  EXPECT_EQ(Crc32("123456789"), 0xCBF43926u);
  EXPECT_EQ(Crc32(""), 0u);
}

}  // namespace
}  // namespace curg::internal
