#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds examples/consumer as a project of its own, optimised and without a
# network, and checks that its programs and its test run and can be profiled.

set -euo pipefail

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# The real tree, behind the links of the runfiles: the consumer's WORKSPACE
# names curg by a relative path.
consumer="$(dirname "$(readlink -f examples/consumer/WORKSPACE)")"
readonly consumer
readonly root="${TEST_TMPDIR}/root"

# One Bazel process that ends with the command, and leaves nothing behind in
# the source tree. TEST_TMPDIR would make Bazel think that it tests itself.
bazel() {
  (cd "${consumer}" && env -u TEST_TMPDIR HOME="${root}" PATH=/usr/bin:/bin \
    "${CURG_BAZEL:-bazel-4}" --batch --output_user_root="${root}" \
    --host_jvm_args=-Xmx256m --host_jvm_args=-XX:+UseSerialGC \
    "$1" --symlink_prefix=/ --spawn_strategy=local --jobs=3 --curses=no \
    --show_progress_rate_limit=30 -c opt "${@:2}")
}

bazel build //... || fail "the consumer does not build"
bin="$(bazel info bazel-bin 2> /dev/null)"

for program in hello hello_parts; do
  output="$("${bin}/${program}")" || fail "${program} ends with status $?"
  [[ "${output}" == "hello from 4 tasks" ]] || fail "${program} prints '${output}'"
done

profile="${TEST_TMPDIR}/cpu.pb.gz"
"${bin}/hello" "${profile}" > /dev/null || fail "hello cannot be profiled"
gzip -t "${profile}" || fail "hello writes no gzipped profile"

# Read to the end: grep -q stops at what it finds, and then gzip cannot write and fails.
has() { [[ "$(gzip -dc "$1" | grep -ca "$2")" -gt 0 ]]; }

# An optimised program must keep its symbols, files and lines, its own and
# curg's, or its profiles would name nothing.
address="$(nm -C "${bin}/hello" | sed -n 's/ [tT] consumer::Greet.*//p')"
[[ -n "${address}" ]] || fail "hello has lost its symbols"
line="$(addr2line -e "${bin}/hello" "${address}")"
[[ "${line}" == *hello.cc:[1-9]* ]] || fail "hello has no line numbers: ${line}"

# Nothing of the above may link libunwind, which would take over exceptions.
! readelf -d "${bin}/hello" | grep -q libunwind || fail "hello links libunwind"

# Its test leaves a profile when asked to, and only then; names and cases are in it.
outputs="$(bazel info bazel-testlogs 2> /dev/null)/greet_test/test.outputs/outputs.zip"
bazel test //:greet_test || fail "the consumer's test fails"
[[ ! -e "${outputs}" ]] || fail "a plain test leaves outputs"
bazel test --config=profile //:greet_test || fail "the consumer's test fails when profiled"
python3 -m zipfile -e "${outputs}" "${TEST_TMPDIR}" || fail "the profiled test leaves no outputs"
for text in consumer::Work test_case AddsUpInATask AddsUpWithoutOne; do
  has "${TEST_TMPDIR}/cpu.pb.gz" "${text}" || fail "its profile lacks ${text}"
done

# One that takes too long is ended by Bazel, tried once more, and each time leaves its profile and its tasks.
log="$(dirname "$(dirname "${outputs}")")/test.log"
for limit in 4 20; do  # a busy machine may need longer to get there
  bazel test --config=profile --test_timeout="${limit}" --flaky_test_attempts=2 //:greet_test \
    --test_arg=--gtest_also_run_disabled_tests && fail "the hanging test passes"
  missing=
  grep -q "the one that waits" "${log}" || missing="a task dump in the log of the hanging test"
  for archive in "${outputs}" "$(dirname "${log}")/test_attempts/attempt_1.outputs/outputs.zip"; do
    rm -rf "${TEST_TMPDIR}/hung"
    python3 -m zipfile -e "${archive}" "${TEST_TMPDIR}/hung" || fail "there is no ${archive}"
    grep -q "the one that waits" "${TEST_TMPDIR}/hung/tasks.txt" || missing="a task dump in ${archive}"
    has "${TEST_TMPDIR}/hung/cpu.pb.gz" consumer::Work || missing="a CPU profile in ${archive}"
  done
  [[ -n "${missing}" ]] || break
done
[[ -z "${missing}" ]] || fail "there is not: ${missing}"

echo PASSED
