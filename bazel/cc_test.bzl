# SPDX-License-Identifier: Apache-2.0
"""C++ tests and benchmarks that can be profiled, for this and other workspaces."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_test")

_PROFILE_TEST = str(Label("//export/testing:profile_test"))
_PROFILE_MAIN = str(Label("//export/testing:profile_main"))

def curg_cc_test(name, profile = None, deps = [], **attrs):
    """A cc_test that leaves profiles in its undeclared outputs when asked to.

    `bazel test --config=profile` asks (define curg_profile=tests, where curg.bazelrc
    is not loaded); otherwise this is cc_test and nothing is linked. Nothing in the
    test's code changes; samples are labelled test_target, test_suite, test_case.

    Args:
      name: name of the test.
      profile: True: profiled always. False: never, for a test that a profile would
        disturb. None: when asked.
      deps: as of cc_test.
      **attrs: passed on to cc_test.
    """
    if profile == None:
        deps = deps + select({
            str(Label("//bazel:profile_tests")): [_PROFILE_TEST],
            "//conditions:default": [],
        })
    elif profile:
        deps = deps + [_PROFILE_TEST]
    cc_test(name = name, deps = deps, **attrs)

def curg_cc_benchmark(name, deps = [], **attrs):
    """A cc_binary that knows --cpu_profile=PATH: a profile of its run, for pprof.

    For Google Benchmark's programs, whatever their main; it is the linker's work
    (export/testing/profile_main.cc), and costs nothing without the flag.

    Args:
      name: name of the program.
      deps: as of cc_binary.
      **attrs: passed on to cc_binary.
    """
    cc_binary(name = name, deps = deps + [_PROFILE_MAIN], **attrs)
