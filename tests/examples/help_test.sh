#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Each program given says with --help and -h what it is, succeeds, and does nothing else.

set -euo pipefail

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

readonly programs=("$@")
((${#programs[@]} > 10)) || fail "only ${#programs[@]} programs to be asked"

mkdir "${TEST_TMPDIR}/empty"
for program in "${programs[@]}"; do
  path="${PWD}/${program}"
  for ask in --help -h; do
    (cd "${TEST_TMPDIR}/empty" && timeout 100 "${path}" "${ask}" > ../out 2> ../err < /dev/null) ||
      fail "${program} ${ask} ends with status $?"
    [[ ! -s "${TEST_TMPDIR}/err" ]] || fail "${program} ${ask} complains: $(< "${TEST_TMPDIR}/err")"
    (($(wc -c < "${TEST_TMPDIR}/out") > 50)) || fail "${program} ${ask} says too little"
    [[ -z "$(ls "${TEST_TMPDIR}/empty")" ]] || fail "${program} ${ask} writes files"
  done
  # Each flag that its source defines is explained.
  for flag in $(nm "${path}" | sed -n 's/.* [A-Z] \(FLAGS_[a-z_]*\)$/\1/p' | grep -v ^FLAGS_no); do
    grep -q -- "--${flag#FLAGS_}" "${TEST_TMPDIR}/out" || fail "${program} --help lacks ${flag}"
  done
done

echo PASSED
