#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Lists tasks and prints their stacks with Debian's gdb: of a live process, and of its core file.
# usage: gdb_test.sh PROGRAM SCRIPT
set -euo pipefail

readonly program="$1" script="$2" core="${TEST_TMPDIR}/core"
# What the program needs is told to it alone, not to gdb.
export HOME="${TEST_TMPDIR}"

live="$(gdb --batch -nx -ex "set debuginfod enabled off" -ex "source ${script}" -ex run \
  -ex "curg tasks" -ex "curg tasks sleeper" -ex "curg bt 2" -ex "curg bt 1" -ex "generate-core-file ${core}" -ex kill \
  "${program}" 2>&1)" || true
dead="$(gdb --batch -nx -ex "set debuginfod enabled off" -ex "source ${script}" \
  -ex "curg tasks" -ex "curg bt all" -ex "curg bt 99" "${program}" "${core}" 2>&1)" || true

failed=0
expect() {  # TEXT PATTERN
  grep -Eq -- "$2" <<< "$1" && return
  echo "not found: $2"
  failed=1
}

for text in "${live}" "${dead}"; do
  expect "${text}" 'task 2 "reader" \[channel receive on 0x[0-9a-f]+\]'
  expect "${text}" 'task 3 "a sleeper with a long name" \[sleep on 0x[0-9a-f]+\]'
  expect "${text}" 'task 1 "main" \[running\]'
  expect "${text}" '#.* in .*WaitsForAValue'
  expect "${text}" '#.* in .*CallsOneThatWaits'
  expect "${text}" '#.* in .*StopsHere'
  expect "${text}" 'spawned by task 1 at '
done
expect "${live}" '^1 tasks'
expect "${dead}" 'there is no task 99'
if ((failed)); then
  echo "--- live"
  echo "${live}"
  echo "--- core"
  echo "${dead}"
fi
exit "${failed}"
