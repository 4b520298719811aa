# SPDX-License-Identifier: Apache-2.0
"""All source files that some C++ libraries are made of, as data for a test."""

_Sources = provider(fields = ["files"])

def _collect_impl(_target, ctx):
    files = []
    for attribute in ["srcs", "hdrs"]:
        files += getattr(ctx.rule.files, attribute, [])
    below = [dep[_Sources].files for dep in getattr(ctx.rule.attr, "deps", [])]
    return [_Sources(files = depset(files, transitive = below))]

_collect = aspect(
    implementation = _collect_impl,
    attr_aspects = ["deps"],
)

def _transitive_sources_impl(ctx):
    below = [dep[_Sources].files for dep in ctx.attr.deps]
    return [DefaultInfo(files = depset(transitive = below))]

transitive_sources = rule(
    implementation = _transitive_sources_impl,
    attrs = {"deps": attr.label_list(aspects = [_collect])},
)
