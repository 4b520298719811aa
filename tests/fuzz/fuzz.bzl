# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets: a test of bounded length with every compiler, and libFuzzer with clang.

    ./bazelw test //tests/fuzz/...
    ./bazelw run --config=fuzz //tests/fuzz:url_query_libfuzzer -- -max_total_time=60
"""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")
load("//bazel:copts.bzl", "CURG_COPTS")

def fuzz_test(name, src, seeds, deps, rounds = 20000, size = "small"):
    """A source with LLVMFuzzerTestOneInput, and files to begin with."""
    cc_library(
        name = name + "_target",
        testonly = True,
        srcs = [src],
        copts = CURG_COPTS,
        alwayslink = True,
        deps = deps,
    )
    cc_test(
        name = name + "_fuzz_test",
        size = size,
        args = [str(rounds)] + ["$(rootpath %s)" % seed for seed in seeds],
        data = seeds,
        deps = [
            ":" + name + "_target",
            "//tests/fuzz:driver",
        ],
    )
    cc_binary(
        name = name + "_libfuzzer",
        testonly = True,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],  # only clang has it
        deps = [":" + name + "_target"],
    )
