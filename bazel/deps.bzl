# SPDX-License-Identifier: Apache-2.0
"""Every dependency, for the WORKSPACE of this project and of those that use it."""

load(":go_tool.bzl", "go_tool")
load(":offline.bzl", "offline_repositories")
load(":system_library.bzl", "system_library")
load(":system_protobuf.bzl", "system_protobuf")

# Labels are those of the upstream projects, so that BUILD files stay the same
# when somebody declares the real repository before calling curg_deps().
_ABSL = {
    "absl/algorithm:algorithm": "algorithm",
    "absl/algorithm:container": "algorithm_container",
    "absl/base:base": "base",
    "absl/base:config": "config",
    "absl/base:core_headers": "core_headers",
    "absl/base:dynamic_annotations": "dynamic_annotations",
    "absl/base:log_severity": "log_severity",
    "absl/cleanup:cleanup": "cleanup",
    "absl/container:btree": "btree",
    "absl/container:fixed_array": "fixed_array",
    "absl/container:flat_hash_map": "flat_hash_map",
    "absl/container:flat_hash_set": "flat_hash_set",
    "absl/container:inlined_vector": "inlined_vector",
    "absl/container:node_hash_map": "node_hash_map",
    "absl/container:node_hash_set": "node_hash_set",
    "absl/debugging:failure_signal_handler": "failure_signal_handler",
    "absl/debugging:leak_check": "leak_check",
    "absl/debugging:stacktrace": "stacktrace",
    "absl/debugging:symbolize": "symbolize",
    "absl/flags:config": "flags_config",
    "absl/flags:flag": "flags",
    "absl/flags:marshalling": "flags_marshalling",
    "absl/flags:parse": "flags_parse",
    "absl/flags:reflection": "flags_reflection",
    "absl/flags:usage": "flags_usage",
    "absl/functional:any_invocable": "any_invocable",
    "absl/functional:bind_front": "bind_front",
    "absl/functional:function_ref": "function_ref",
    "absl/hash:hash": "hash",
    "absl/memory:memory": "memory",
    "absl/meta:type_traits": "type_traits",
    "absl/numeric:bits": "bits",
    "absl/numeric:int128": "int128",
    "absl/random:bit_gen_ref": "random_bit_gen_ref",
    "absl/random:distributions": "random_distributions",
    "absl/random:random": "random_random",
    "absl/random:seed_sequences": "random_seed_sequences",
    "absl/status:status": "status",
    "absl/status:statusor": "statusor",
    "absl/strings:cord": "cord",
    "absl/strings:str_format": "str_format",
    "absl/strings:strings": "strings",
    "absl/synchronization:synchronization": "synchronization",
    "absl/time:time": "time",
    "absl/types:any": "any",
    "absl/types:compare": "compare",
    "absl/types:optional": "optional",
    "absl/types:span": "span",
    "absl/types:variant": "variant",
    "absl/utility:utility": "utility",
}

_SYSTEM_LIBRARIES = {
    "boost": struct(
        apt = "libboost1.81-dev libboost-context1.81-dev",
        headers = [
            "/usr/include/boost/asio.hpp",
            "/usr/include/boost/context/detail/fcontext.hpp",
        ],
        # Debian offers 1.74 as well; Asio's and Context's interfaces differ.
        version = ("/usr/include/boost/version.hpp", "#define BOOST_VERSION 1081"),
        targets = {
            ":context": ["-lboost_context"],
            # Asio, Beast and everything else that is headers alone.
            ":headers": ["-lpthread"],
        },
    ),
    "com_github_google_benchmark": struct(
        apt = "libbenchmark-dev",
        targets = {
            ":benchmark": ["benchmark"],
            ":benchmark_main": ["-lbenchmark_main", "benchmark"],
        },
    ),
    "com_google_absl": struct(
        apt = "libabsl-dev",
        targets = {label: ["absl_" + package] for label, package in _ABSL.items()},
    ),
    "com_google_googletest": struct(
        apt = "libgtest-dev libgmock-dev",
        targets = {
            ":gtest": ["gmock", "gtest"],
            ":gtest_main": ["gmock_main", "gmock", "gtest"],
        },
    ),
    "elfutils": struct(
        apt = "libdw-dev libelf-dev",
        headers = ["/usr/include/elfutils/libdwfl.h", "/usr/include/libelf.h"],
        targets = {
            ":libdw": ["libdw"],
            ":libelf": ["libelf"],
        },
    ),
    "libunwind": struct(
        apt = "libunwind-dev",
        headers = ["/usr/include/x86_64-linux-gnu/libunwind.h"],
        # Headers only: linked, libunwind would take over the program's exception
        # unwinding and backtrace(). It is opened with dlopen().
        targets = {":libunwind": ["-ldl"]},
    ),
    "openssl": struct(
        apt = "libssl-dev",
        targets = {":ssl": ["openssl"]},
    ),
    "zlib": struct(
        apt = "zlib1g-dev",
        targets = {":zlib": ["zlib"]},
    ),
}

def _is_bazel_4():
    # Debian's 4.2.3 reports an empty version.
    return not native.bazel_version or native.bazel_version.startswith("4.")

def curg_deps():
    """Declares every repository that curg needs; none is downloaded.

    A repository that the calling WORKSPACE already declared is left alone.
    """
    if _is_bazel_4():
        offline_repositories()
    for name, library in _SYSTEM_LIBRARIES.items():
        if not native.existing_rule(name):
            version_header, version_line = getattr(library, "version", ("", ""))
            system_library(
                name = name,
                apt = library.apt,
                headers = getattr(library, "headers", []),
                targets = library.targets,
                version_header = version_header,
                version_line = version_line,
            )
    if not native.existing_rule("com_google_protobuf"):
        system_protobuf(name = "com_google_protobuf")

def curg_dev_deps():
    """Declares what only curg's own tests need."""
    go_tool(name = "go_tool")
