#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What bazelw does on machines of several kinds, each made of stand-ins for
# dpkg-query, apt-get and Bazel that write down how they were called.

set -euo pipefail

bazelw="${PWD}/bazelw"
readonly bazelw
readonly bin="${TEST_TMPDIR}/bin"
readonly calls="${TEST_TMPDIR}/calls"
readonly output="${TEST_TMPDIR}/output"

# The build's packages, as bazelw lists them.
packages="$(sed -n '/^readonly build_packages=(/,/^)/{/[()]/!p}' "${bazelw}" | xargs)"
readonly packages

failures=0

# Puts a program $1 with the body $2 on the machine.
program() {
  printf '#!/bin/bash\n%s\n' "$2" > "${bin}/$1"
  chmod +x "${bin}/$1"
}

# A machine with the packages given, on which apt-get's plan prints $plan.
machine() {
  rm -rf "${bin}" "${calls}"
  mkdir "${bin}"
  touch "${calls}"
  local tool
  for tool in bash cat dirname env grep id sed tr; do
    ln -s "$(type -P "${tool}")" "${bin}/${tool}"
  done
  program bazel "echo \"bazel \$*\" >> ${calls}"
  program go "exit 0"
  program curl "exit 0"
  program gdb "exit 0"
  program dwz "exit 0"
  program sudo "exec \"\$@\""
  program dpkg-query "for package in $*; do printf ' %s=installed' \$package; done; exit 1"
  program apt-get "
    echo \"apt-get \$*\" >> ${calls}
    [[ \"\$*\" != *--assume-no* ]] || { printf '%b' '${plan:-}'; exit 1; }"
}

# Runs bazelw there with the arguments given; leaves its status in $status.
bazelw() {
  status=0
  env -i PATH="${bin}" HOME="${TEST_TMPDIR}" CI=true CURG_BAZEL="${bin}/bazel" ${setting:-} \
    bash "${bazelw}" "$@" > "${output}" 2>&1 < /dev/null || status=$?
}

expect() {
  if ! "${@:2}"; then
    echo "FAILED: $1; bazelw ended with ${status}, said and called:"
    sed 's/^/    /' "${output}" "${calls}"
    failures=$((failures + 1))
  fi
}

says() { grep -qE -- "$1" "${output}"; }
called() { grep -qE -- "$1" "${calls}"; }
calls_are() { [[ "$(cat "${calls}")" == "$1" ]]; }
status_is() { [[ "${status}" == "$1" ]]; }

# Everything is there: nothing but Bazel, with the arguments as given.
machine ${packages}
bazelw test --config=asan //a:b
expect "starts Bazel at once" calls_are "bazel test --config=asan //a:b"
expect "succeeds" status_is 0

# A package is missing: one transaction, announced.
plan='0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.\n'
plan+='Need to get 12.3 MB of archives.\nAfter this operation, 45 MB will be used.\n'
machine ${packages/libabsl-dev/}
bazelw build //...
expect "installs what is missing" called '^apt-get .* install -y .* libabsl-dev$'
expect "fetches the lists" called '^apt-get .* update$'
expect "says how much" says 'Need to get 12.3 MB'
expect "says how much" says 'After this operation, 45 MB'
expect "starts Bazel then" called '^bazel build //\.\.\.$'

# A package would be removed: that is said.
plan='The following packages will be REMOVED:\n  libboost1.74-dev libboost-context1.74-dev\n'
plan+='  libboost-chrono1.74-dev\nThe following NEW packages will be installed:\n  libboost1.81-dev\n'
plan+='0 upgraded, 1 newly installed, 3 to remove and 0 not upgraded.\nNeed to get 1 MB.\n'
machine ${packages/libboost1.81-dev/}
bazelw build //...
expect "says what is removed" says \
  'this REMOVES: libboost1.74-dev libboost-context1.74-dev libboost-chrono1.74-dev *$'

# apt cannot: its words, no install, no Bazel.
plan='E: Unable to locate package libabsl-dev\n'
machine ${packages/libabsl-dev/}
bazelw build //...
expect "repeats what apt says" says 'Unable to locate package libabsl-dev'
expect "does not go on" status_is 1
expect "does not start Bazel" bash -c "! grep -q '^bazel\|install -y' '${calls}'"
plan=''

# Only some commands need more.
machine ${packages}
rm "${bin}/go"
setting=CURG_APT=no
if [[ ! -x /usr/local/go/bin/go ]]; then
  bazelw test //...
  expect "test needs Go" says 'missing: golang-go$'
fi
rm "${bin}/gdb"
program go "exit 0"
bazelw test //...
expect "test needs gdb" says 'missing: gdb$'
bazelw build --config=clang //...
expect "--config=clang needs clang" says 'missing: clang libclang-rt-14-dev$'
bazelw lint
expect "lint needs the linters" says 'missing: clang-format clang-tidy clang npm$'
bazelw build //...
expect "build needs none of them" calls_are "bazel build //..."
bazelw run //tests/benchmark:compare
expect "the comparison does without Boost.Fiber" called '^bazel run //tests/benchmark:compare$'
setting=''
plan='0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.\nNeed to get 1 MB.\n'
machine ${packages}
bazelw run //tests/benchmark:compare -- --quick
expect "or installs it" called '^apt-get .* install -y .* libboost-fiber1.81-dev$'
expect "runs the comparison" called '^bazel run //tests/benchmark:compare -- --quick$'
plan=''

# What tests can do without: installed if it can be, and else they start anyway.
plan='0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.\nNeed to get 1 MB.\n'
machine ${packages}
bazelw test //tests/...
expect "installs a browser" called '^apt-get .* install -y .* chromium chromium-driver$'
expect "starts the tests" called '^bazel test //tests/\.\.\.$'
plan='E: Unable to locate package chromium\n'
machine ${packages}
bazelw test //...
expect "says what is missing" says 'going on without chromium chromium-driver: some tests will skip$'
expect "starts the tests all the same" called '^bazel test //\.\.\.$'
expect "succeeds" status_is 0
machine ${packages}
bazelw test //tests/runtime/...
expect "wants no browser for other tests" calls_are "bazel test //tests/runtime/..."
plan=''

# No apt at all: a list, and the end; with a Bazel of the user's own, that.
machine
rm "${bin}/apt-get" "${bin}/dpkg-query"
setting='CURG_BAZEL='
bazelw build //...
expect "lists what is needed" says 'libunwind-dev'
expect "stops" status_is 1
setting=''
bazelw build //...
expect "takes the user's word" calls_are "bazel build //..."

# Help installs nothing.
machine
bazelw --help
expect "prints its usage" says '^Usage: ./bazelw'
expect "calls nothing" calls_are ""

((failures == 0)) && echo PASSED
