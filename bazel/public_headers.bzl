# SPDX-License-Identifier: Apache-2.0
"""Offers headers under a prefix of the project's own, for consumers."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def public_headers(name, prefix, hdrs, deps, **attrs):
    """Declares a cc_library whose headers are included as <prefix>/<header>.

    The prefixed headers are generated and include the real ones, rather than
    being links to them: so a header is one file for the compiler, for debug
    information and for `#pragma once`, whichever way it is included.

    Args:
      name: name of the library.
      prefix: first component of the offered paths.
      hdrs: paths of the real headers from the root of the repository.
      deps: the libraries that hold them.
      **attrs: passed on to cc_library.
    """
    outs = ["include/{}/{}".format(prefix, header) for header in hdrs]
    native.genrule(
        name = name + "_headers",
        outs = outs,
        cmd = "\n".join([
            "printf '#pragma once\\n#include \"{}\"\\n' > $(RULEDIR)/{}".format(header, out)
            for header, out in zip(hdrs, outs)
        ]),
        visibility = ["//visibility:private"],
    )
    cc_library(
        name = name,
        hdrs = outs,
        includes = ["include"],
        deps = deps,
        **attrs
    )
