# SPDX-License-Identifier: Apache-2.0
"""A C++ library generated from one .proto file."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def curg_cc_proto(name, src, **attrs):
    """Declares a cc_library of the code that protoc generates from src.

    The header is included as "<package>/<file>.pb.h". A genrule rather than
    cc_proto_library: the latter differs from one Bazel release to the next.

    Args:
      name: name of the library.
      src: the .proto file, which imports nothing.
      **attrs: passed on to cc_library (visibility, testonly).
    """
    stem = src[:-len(".proto")]
    outs = [stem + ".pb.cc", stem + ".pb.h"]
    native.genrule(
        name = name + "_gen",
        srcs = [src],
        outs = outs,
        # $$(dirname $<): the file is below external/ in another workspace.
        cmd = "$(execpath @com_google_protobuf//:protoc) -I$$(dirname $<) " +
              "--cpp_out=$(RULEDIR) $<",
        tools = ["@com_google_protobuf//:protoc"],
        visibility = ["//visibility:private"],
    )
    cc_library(
        name = name,
        srcs = [outs[0]],
        hdrs = [outs[1]],
        deps = ["@com_google_protobuf//:protobuf"],
        **attrs
    )
