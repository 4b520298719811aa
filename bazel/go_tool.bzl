# SPDX-License-Identifier: Apache-2.0
"""@go_tool: the pprof of the Go toolchain on this machine, for tests.

    cc_test(
        data = ["@go_tool//:pprof"],
        env = {"CURG_PPROF": "$(rootpath @go_tool//:pprof)"},
    )

The program is what `go tool pprof` would run. @go_tool//:profile_dump is
tests/pipeline/go/profile_dump.go, built with the profile package that comes
with Go, to see what Go itself reads from a file. Recent Go releases no longer
ship it built, so it is built here, once and without a network, from the
sources that every Go toolchain carries. Where there is no Go, the target is a
program that says so and fails: only the tests that run it are affected.
"""

_NO_PPROF = """\
#!/bin/sh
echo "{reason}" >&2
exit 1
"""

def _find_go(ctx):
    go = ctx.which("go")
    if go:
        return go
    for path in ["/usr/local/go/bin/go", "/usr/lib/go/bin/go"]:
        if ctx.path(path).exists:
            return ctx.path(path)
    return None

def _build(ctx, go, environment, output, arguments):
    """Builds a program of the toolchain's. Returns "", or why that fails."""
    home = str(ctx.path("."))
    built = ctx.execute(
        [go, "build", "-o", home + "/" + output] + arguments,
        environment = environment,
        working_directory = home,
    )
    return "`go build` fails: " + built.stderr.replace("\"", "'") if built.return_code else ""

def _make_programs(ctx):
    """Puts the programs into the repository. Returns "", or why that is impossible."""
    go = _find_go(ctx)
    if not go:
        return "no Go toolchain: install golang-go (or run ./bazelw test, which does)"
    home = str(ctx.path("."))
    environment = {
        "CGO_ENABLED": "0",
        "GOCACHE": home + "/cache",
        "GOFLAGS": "",
        "GOPATH": home + "/path",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "HOME": home,
    }
    found = ctx.execute([go, "env", "GOTOOLDIR", "GOROOT"], environment = environment)
    if found.return_code:
        return "`go env` fails: " + found.stderr.replace("\"", "'")
    tools, root = found.stdout.strip().split("\n")
    problem = ""
    if ctx.path(tools + "/pprof").exists:
        ctx.symlink(tools + "/pprof", "pprof")
    else:
        problem = _build(ctx, go, environment, "pprof", ["cmd/pprof"])

    # As if it were one of Go's own commands: only those may use the package.
    source = str(ctx.path(ctx.attr._profile_dump))
    place = root + "/src/cmd/curg_profile_dump/main.go"
    ctx.file("overlay.json", "{\"Replace\": {\"%s\": \"%s\"}}\n" % (place, source), executable = False)
    overlay = ["-overlay", home + "/overlay.json", "cmd/curg_profile_dump"]
    problem = problem or _build(ctx, go, environment, "profile_dump", overlay)
    ctx.delete("cache")
    return problem

def _go_tool_impl(ctx):
    problem = _make_programs(ctx)
    programs = ["pprof", "profile_dump"]
    if problem:
        for program in programs:
            ctx.delete(program)
            ctx.file(program, _NO_PPROF.format(reason = problem), executable = True)
    ctx.file("BUILD.bazel", "exports_files(%s)\n" % repr(programs), executable = False)

go_tool = repository_rule(
    implementation = _go_tool_impl,
    attrs = {
        "_profile_dump": attr.label(default = "//tests/pipeline/go:profile_dump.go"),
    },
    environ = ["PATH"],
    local = True,
)
