#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Lists tasks and prints their stacks with Debian's gdb: of a live process, and of its core file.
# usage: gdb_test.sh PROGRAM SCRIPT
set -euo pipefail

readonly program="$(realpath "$1")" script="$(realpath "$2")"
# What the program needs is told to it alone, not to gdb.
export HOME="${TEST_TMPDIR}"

live="$(gdb --batch -nx -ex "set debuginfod enabled off" -ex "source ${script}" -ex run \
  -ex "curg tasks" -ex "curg tasks sleeper" -ex "curg bt 2" -ex "curg bt 1" -ex kill \
  "${program}" 2>&1)" || true

# The kernel's core file, not gdb's own, which ends at a guard page.
cd "${TEST_TMPDIR}"
(ulimit -c unlimited && exec "${program}") || true
core="$(find . -maxdepth 1 -name 'core*' | head -n 1)"
readonly core
if [[ -z "${core}" ]]; then
  echo "no core file here: /proc/sys/kernel/core_pattern is $(< /proc/sys/kernel/core_pattern)"
  readonly texts=("${live}") dead="there is no task 99"
else
  readonly dead="$(gdb --batch -nx -ex "set debuginfod enabled off" -ex "source ${script}" \
    -ex "curg tasks" -ex "curg bt all" -ex "curg bt 99" "${program}" "${core}" 2>&1 || true)"
  readonly texts=("${live}" "${dead}")
fi

failed=0
expect() {  # TEXT PATTERN
  grep -Eq -- "$2" <<< "$1" && return
  echo "not found: $2"
  failed=1
}

for text in "${texts[@]}"; do
  expect "${text}" 'task 2 "reader" \[channel receive on 0x[0-9a-f]+\]'
  expect "${text}" 'task 3 "a sleeper with a long name" \[sleep\]'
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
