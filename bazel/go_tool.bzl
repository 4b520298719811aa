# SPDX-License-Identifier: Apache-2.0
"""@go_tool: the pprof of the Go toolchain on this machine, for tests.

    cc_test(
        data = ["@go_tool//:pprof"],
        env = {"CURG_PPROF": "$(rootpath @go_tool//:pprof)"},
    )

The program is what `go tool pprof` would run. Recent Go releases no longer
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

def _make_pprof(ctx):
    """Puts pprof into the repository. Returns "", or why that is impossible."""
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
    shipped = ctx.execute([go, "env", "GOTOOLDIR"], environment = environment)
    if shipped.return_code:
        return "`go env` fails: " + shipped.stderr.replace("\"", "'")
    path = shipped.stdout.strip() + "/pprof"
    if ctx.path(path).exists:
        ctx.symlink(path, "pprof")
        return ""
    built = ctx.execute(
        [go, "build", "-o", home + "/pprof", "cmd/pprof"],
        environment = environment,
        working_directory = home,
    )
    ctx.delete("cache")
    if built.return_code:
        return "`go build cmd/pprof` fails: " + built.stderr.replace("\"", "'")
    return ""

def _go_tool_impl(ctx):
    problem = _make_pprof(ctx)
    if problem:
        ctx.file("pprof", _NO_PPROF.format(reason = problem), executable = True)
    ctx.file("BUILD.bazel", "exports_files([\"pprof\"])\n", executable = False)

go_tool = repository_rule(
    implementation = _go_tool_impl,
    environ = ["PATH"],
    local = True,
)
