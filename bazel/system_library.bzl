# SPDX-License-Identifier: Apache-2.0
"""Repositories made of libraries that the distribution installed.

A target here carries link flags only: its headers are found in /usr/include,
which the compiler searches anyway. That keeps thousands of headers (all of
Boost) out of the action graph and out of every sandbox. The price is the one
already paid for libc: Bazel does not notice when the distribution upgrades
them. After such an upgrade run `bazel clean --expunge`.
"""

_HEADER = """\
load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])
"""

_TARGET = """
cc_library(
    name = "{name}",
    linkopts = {linkopts},
)
"""

def _missing(ctx, what):
    fail("@{}: {} is missing; install {} (or run ./bazelw, which does)".format(
        ctx.name,
        what,
        ctx.attr.apt,
    ))

def _pkg_config(ctx, packages):
    if not ctx.which("pkg-config"):
        fail("@{}: pkg-config is missing; install pkg-config".format(ctx.name))
    result = ctx.execute(["pkg-config", "--libs"] + packages)
    if result.return_code:
        _missing(ctx, "pkg-config package " + " ".join(packages))

    # Only what names libraries: --push-state,--as-needed and the like must not
    # pass. Bazel links a test against shared objects of the project's own
    # libraries, and --as-needed would drop what only those use.
    return [
        flag
        for flag in result.stdout.strip().split(" ")
        if flag.startswith("-l") or flag.startswith("-L")
    ]

def _linkopts(ctx, libraries):
    flags = [library for library in libraries if library.startswith("-")]
    packages = [library for library in libraries if not library.startswith("-")]
    return flags + (_pkg_config(ctx, packages) if packages else [])

def _system_library_impl(ctx):
    for header in ctx.attr.headers:
        if not ctx.path(header).exists:
            _missing(ctx, header)
    if ctx.attr.version_header:
        text = ctx.read(ctx.attr.version_header)
        if ctx.attr.version_line not in text:
            fail("@{}: {} has no line '{}'; install {}".format(
                ctx.name,
                ctx.attr.version_header,
                ctx.attr.version_line,
                ctx.attr.apt,
            ))

    files = {}
    for label, libraries in ctx.attr.targets.items():
        package, _, name = label.rpartition(":")
        path = (package + "/" if package else "") + "BUILD.bazel"
        files[path] = files.get(path, _HEADER) + _TARGET.format(
            name = name,
            linkopts = repr(_linkopts(ctx, libraries)),
        )
    for path, content in files.items():
        ctx.file(path, content, executable = False)

system_library = repository_rule(
    implementation = _system_library_impl,
    doc = "A repository whose targets link libraries installed on this machine.",
    attrs = {
        "apt": attr.string(
            mandatory = True,
            doc = "Debian packages named in the message when something is missing.",
        ),
        "headers": attr.string_list(doc = "Absolute paths that must exist."),
        "targets": attr.string_list_dict(
            mandatory = True,
            doc = "'package:name' of each target, with what it links: linker flags " +
                  "(leading '-') or names of pkg-config packages.",
        ),
        "version_header": attr.string(doc = "A header that must contain version_line."),
        "version_line": attr.string(),
    },
    local = True,
)
