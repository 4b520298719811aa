// SPDX-License-Identifier: Apache-2.0
//
// The computation on which profilers' overhead is measured.
#pragma once

#include <cstddef>
#include <vector>

namespace peers {

// A cache-friendly product of two 512x512 matrices.
class MatrixProduct {
 public:
  MatrixProduct() : a_(kSize * kSize, 1.5), b_(kSize * kSize, 0.5), c_(kSize * kSize) {}

  __attribute__((noinline)) double Run() {
    for (size_t i = 0; i < kSize; i += kBlock) {
      for (size_t k = 0; k < kSize; k += kBlock) {
        for (size_t j = 0; j < kSize; j += kBlock) RunBlock(i, k, j);
      }
    }
    return c_[kSize + 1];
  }

 private:
  static constexpr size_t kSize = 512;
  static constexpr size_t kBlock = 64;

  __attribute__((noinline)) void RunBlock(size_t i0, size_t k0, size_t j0) {
    for (size_t i = i0; i < i0 + kBlock; ++i) {
      for (size_t k = k0; k < k0 + kBlock; ++k) {
        const double a = a_[i * kSize + k];
        for (size_t j = j0; j < j0 + kBlock; ++j) c_[i * kSize + j] += a * b_[k * kSize + j];
      }
    }
  }

  std::vector<double> a_;
  std::vector<double> b_;
  std::vector<double> c_;
};

}  // namespace peers
