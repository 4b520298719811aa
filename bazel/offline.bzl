# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the repositories that Bazel 4 downloads even for C++ alone.

Bazel 4 loads @rules_cc and @rules_java from its own @bazel_tools, and makes
every test depend on @remote_coverage_tools. Without these stand-ins the first
command on a machine without a network fails. They are repository rules that
write their files, not local_repository: a path would be taken relative to the
consumer's workspace.
"""

_FORWARD = """
def {rule}(**attrs):
    native.{rule}(**attrs)
"""

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
]

_JAVA_RULES = [
    "java_binary",
    "java_import",
    "java_library",
    "java_runtime",
    "java_toolchain",
]

_PROTO_RULES = [
    "proto_lang_toolchain",
    "proto_library",
]

def _forwarding_rules_impl(ctx):
    ctx.file("BUILD.bazel", "")
    ctx.file(ctx.attr.package + "/BUILD.bazel", "exports_files([\"defs.bzl\"])\n")
    ctx.file(
        ctx.attr.package + "/defs.bzl",
        "\"\"\"Forwards to the native rules.\"\"\"\n" +
        "".join([_FORWARD.format(rule = rule) for rule in ctx.attr.rules]),
    )

_forwarding_rules = repository_rule(
    implementation = _forwarding_rules_impl,
    attrs = {
        "package": attr.string(mandatory = True),
        "rules": attr.string_list(mandatory = True),
    },
)

_COVERAGE_TOOLS = ["coverage_report_generator", "lcov_merger"]

def _coverage_tools_impl(ctx):
    ctx.file("BUILD.bazel", "exports_files({})\n".format(repr(_COVERAGE_TOOLS)))
    for tool in _COVERAGE_TOOLS:
        ctx.symlink(ctx.attr._tool, tool)

_coverage_tools = repository_rule(
    implementation = _coverage_tools_impl,
    attrs = {"_tool": attr.label(default = "//bazel:lcov_merger.py")},
)

def offline_repositories():
    """Declares the stand-ins that the calling WORKSPACE does not already have."""
    rules = {
        "rules_cc": ("cc", _CC_RULES),
        "rules_java": ("java", _JAVA_RULES),
        "rules_proto": ("proto", _PROTO_RULES),
    }
    for name, (package, names) in rules.items():
        if not native.existing_rule(name):
            _forwarding_rules(name = name, package = package, rules = names)
    if not native.existing_rule("remote_coverage_tools"):
        _coverage_tools(name = "remote_coverage_tools")
