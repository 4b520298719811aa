# SPDX-License-Identifier: Apache-2.0
"""Compiler options of this project's own code.

Every cc_library, cc_binary and cc_test here says `copts = CURG_COPTS`.
Warnings are errors in this checkout only (.bazelrc adds -Werror), so that a
consumer with another compiler is never stopped by one.
"""

CURG_COPTS = [
    "-Wall",
    "-Wextra",
    # gcc 12 reports it falsely for "literal" + std::string (GCC bug 105651).
    "-Wno-restrict",
    "-Wno-unknown-warning-option",
]

# For what runs inside the SIGPROF handler: never instrumented by the thread
# sanitizer, whose runtime is not safe there, nor by the address sanitizer, which
# would object to a walk that reads other functions' frames. The defines tell
# runtime/context.h what the other files are built with: its layout depends on it.
# Nor a part of link-time optimization, which loses what is defined in assembler.
CURG_SIGNAL_COPTS = CURG_COPTS + ["-fno-lto"] + select({
    "//bazel:asan": [
        "-fno-sanitize=address",
        "-DCURG_ASAN=1",
    ],
    "//bazel:tsan": [
        "-fno-sanitize=thread",
        "-DCURG_TSAN=1",
    ],
    "//conditions:default": [],
})
