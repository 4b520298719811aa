#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What the SIGPROF handler's object may call: nothing but the list below, each of which is safe in a
# signal handler. Usage: sigprof_symbols_test.sh LIBRARY...
set -euo pipefail

# The runtime's two doors, the profiler's own data, errno, and what compilers call by themselves.
# __tls_get_addr is not among them: it may allocate. Nor is any of the thread sanitizer's functions.
allowed='^(curg::TaskSwitch\(\)'
allowed+='|curg::internal::(RegistersOf|WhereAmI|RuleCache::Walk|RuleCache::Fetch)\(.*\)( const)?'
allowed+='|curg::internal::(thread_samplers|descriptor_tickets)'
allowed+='|__errno_location|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|memcpy|memset'
allowed+='|__asan_.*|__ubsan_.*|vtable for __cxxabiv1::.*type_info|__gcov_.*)$'

archive=
for file in "$@"; do
  [[ $file == *.a || $file == *.lo ]] && archive=$file
done
if [[ -z $archive ]]; then
  echo "no archive of the handler among: $*" >&2
  exit 1
fi

undefined=$(nm --undefined-only --demangle "$archive" | sed -n 's/^ *[Uwv] //p' | sort -u)
if ! grep -q 'RuleCache::Walk' <<<"$undefined"; then
  echo "$archive does not hold the handler" >&2
  exit 1
fi
if surplus=$(grep -Ev "$allowed" <<<"$undefined"); then
  echo "the SIGPROF handler's object uses what is not on the list of safe functions:" >&2
  echo "$surplus" >&2
  exit 1
fi
echo "$undefined"
