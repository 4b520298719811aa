# SPDX-License-Identifier: Apache-2.0
"""@com_google_protobuf made of the distribution's protoc and libprotobuf."""

_BUILD = """\
load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

exports_files(["protoc"])

cc_library(
    name = "protobuf",
    linkopts = ["-lprotobuf"],
)
"""

def _system_protobuf_impl(ctx):
    protoc = ctx.which("protoc")
    if not protoc or not ctx.path("/usr/include/google/protobuf/message.h").exists:
        fail("@{}: protoc or its headers are missing; install {}".format(
            ctx.name,
            "protobuf-compiler libprotobuf-dev (or run ./bazelw, which does)",
        ))
    ctx.symlink(protoc, "protoc")
    ctx.file("BUILD.bazel", _BUILD, executable = False)

system_protobuf = repository_rule(
    implementation = _system_protobuf_impl,
    local = True,
)
