#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Checks the form of the sources; `./bazelw lint --help` says how.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly buildifier_version=8.2.1

usage() {
  cat <<'END'
Usage: ./bazelw lint [--fix] [--no-tidy] [FILE...]

Checks the files given, or all of them, with clang-format and clang-tidy
(*.cc, *.h) and with buildifier (BUILD.bazel, WORKSPACE, *.bzl).

  --fix      rewrites what clang-format and buildifier can
  --no-tidy  leaves out clang-tidy, which takes seconds per file
END
}

# Prints the path of buildifier: the one on the PATH, or the one npm delivers.
find_buildifier() {
  type -P buildifier && return
  local cache="${XDG_CACHE_HOME:-${HOME}/.cache}/curg/buildifier-${buildifier_version}"
  local binary="${cache}/node_modules/@bazel/buildifier/buildifier-linux_amd64"
  if [[ ! -x "${binary}" ]]; then
    npm install --loglevel=error --no-audit --no-fund --ignore-scripts --no-save \
      --prefix "${cache}" "@bazel/buildifier@${buildifier_version}" >&2 &&
      chmod +x "${binary}" || return
  fi
  echo "${binary}"
}

# Prints every file of the checkout, those not yet added to git included.
all_files() {
  { git ls-files --cached --others --exclude-standard 2> /dev/null ||
    find . -name '.?*' -prune -o -type f -printf '%P\n'; } |
    while read -r file; do
      [[ ! -f "${file}" ]] || echo "${file}"
    done
}

# Prints those of the files in the array `files` that match the pattern $1.
matching() {
  printf '%s\n' "${files[@]}" | grep -E "$1" || true
}

# Prints those of the files given that compile_commands.json lists.
compiled() {
  local file
  for file in "$@"; do
    if grep -qF "\"file\": \"$(realpath "${file}")\"" compile_commands.json; then
      echo "${file}"
    fi
  done
}

# What clang-format leaves alone: wide comments, and the licence line.
check_lines() {
  local result=0 file
  if grep -nE '^.{101,}$' "$@"; then
    echo "lint: the lines above are longer than 100 columns"
    result=1
  fi
  for file in "$@"; do
    if [[ "$(head -n 1 "${file}")" != *'SPDX-License-Identifier: Apache-2.0' ]]; then
      echo "lint: ${file}: the first line is not the SPDX one"
      result=1
    fi
  done
  return "${result}"
}

main() {
  local fix='' tidy=1 files=() failed=()
  local argument
  for argument in "$@"; do
    case "${argument}" in
      -h | --help) usage && exit ;;
      --fix) fix=1 ;;
      --no-tidy) tidy='' ;;
      -*) usage >&2 && exit 2 ;;
      *) files+=("${argument}") ;;
    esac
  done
  if ((${#files[@]} == 0)); then
    mapfile -t files < <(all_files)
  fi

  local cpp sources build
  mapfile -t cpp < <(matching '\.(cc|h)$')
  mapfile -t sources < <(matching '\.cc$')
  mapfile -t build < <(matching '(^|/)(BUILD\.bazel|WORKSPACE)$|\.bzl$')

  if ((${#cpp[@]})); then
    echo "clang-format: ${#cpp[@]} files"
    if [[ -n "${fix}" ]]; then
      clang-format -i "${cpp[@]}"
    else
      clang-format --dry-run -Werror "${cpp[@]}" || failed+=(clang-format)
    fi
    check_lines "${cpp[@]}" || failed+=(lines)
  fi
  if ((${#build[@]})); then
    echo "buildifier: ${#build[@]} files"
    local buildifier mode=check
    [[ -z "${fix}" ]] || mode=fix
    # In Bazel 4 sh_test and sh_binary are built in.
    buildifier="$(find_buildifier)" &&
      "${buildifier}" -mode="${mode}" -lint=warn \
        -warnings=-native-sh-test,-native-sh-binary "${build[@]}" ||
      failed+=(buildifier)
  fi
  if ((${#sources[@]})) && [[ -n "${tidy}" ]]; then
    bazel/compile_commands.py
    # Others are of another workspace, or for another configuration.
    mapfile -t sources < <(compiled "${sources[@]}")
    echo "clang-tidy: ${#sources[@]} files"
    printf '%s\n' "${sources[@]}" |
      xargs -P "$(nproc)" -n 1 clang-tidy -p . --quiet --warnings-as-errors='*' \
        2> >(grep -v '^[0-9]* warnings\? .*generated\.$' >&2) || failed+=(clang-tidy)
  fi

  if ((${#failed[@]})); then
    echo "lint: FAILED: ${failed[*]}"
    exit 1
  fi
  echo "lint: clean"
}

main "$@"
