# SPDX-License-Identifier: Apache-2.0
"""All source files that some C++ libraries are made of, as data for a test."""

SourcesInfo = provider(
    doc = "Sources of a target and of what it depends on.",
    fields = {"files": "a depset of files"},
)

def _collect_impl(_target, ctx):
    files = []
    for attribute in ["srcs", "hdrs"]:
        files += getattr(ctx.rule.files, attribute, [])
    below = [dep[SourcesInfo].files for dep in getattr(ctx.rule.attr, "deps", [])]
    return [SourcesInfo(files = depset(files, transitive = below))]

_collect = aspect(
    implementation = _collect_impl,
    attr_aspects = ["deps"],
)

def _transitive_sources_impl(ctx):
    below = [dep[SourcesInfo].files for dep in ctx.attr.deps]
    files = depset(transitive = below)
    return [DefaultInfo(files = files, runfiles = ctx.runfiles(transitive_files = files))]

transitive_sources = rule(
    implementation = _transitive_sources_impl,
    attrs = {"deps": attr.label_list(aspects = [_collect])},
)
