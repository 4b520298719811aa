#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the SIGPROF handler can reach, read from the machine code of a linked program.

Starting at OnSigprof, follows every call and every jump out of a function, in whatever library the
code was written, and compares what it ends in with the lists below: the C library's functions, calls
through pointers, and functions that no handler may call. A C++ stand-in for Go's nowritebarrierrec.

    signal_path_test.py PROGRAM
"""

import collections
import re
import subprocess
import sys

ROOT = "curg::internal::OnSigprof(int, siginfo_t*, void*)"

# All that may be called outside of the program: none of them locks, allocates or enters the kernel.
ALLOWED = {
    "_dl_find_object": "lock-free, by design (glibc 2.35)",
    "__errno_location": "an address",
    "__stack_chk_fail": "only when the stack is smashed; it aborts",
    "memcpy": "copies",
    "memmove": "copies",
    "memset": "fills",
}

# Where somebody else's SIGPROF goes on to somebody else's handler: not looked into.
PASSED_ON = re.compile(r"^curg::internal::(\(anonymous namespace\)::PassOn|PassSignalOn)\(")

# Functions that may call through a pointer: the one that the above may be inlined into.
INDIRECT = {ROOT}

# Functions that may enter the kernel.
ENTERS_KERNEL = {
    "curg::internal::(anonymous namespace)::AskForThreadId()": "gettid, once for a thread",
}

# What the walk must be seen to contain, or this test tests nothing.
EXPECTED = ["curg::internal::RecordSample", "curg::internal::RuleCache::Walk",
            "curg::internal::FindFrameRule", "curg::internal::WhereAmI",
            "curg::internal::UnwindReader::Find"]

FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
TRANSFER = re.compile(r"\s(?:notrack |bnd )*(call|jmp|j[a-z]+)\s+(.*)$")
TARGET = re.compile(r"^[0-9a-f]+ <(.+?)(?:\+0x[0-9a-f]+)?>$")
THROUGH_GOT = re.compile(r"# [0-9a-f]+ <([A-Za-z_0-9]+)@")


class Function:
    def __init__(self):
        self.callees = set()
        self.external = set()
        self.indirect = set()
        self.system_calls = 0


def disassemble(program):
    """Every function of the program by its demangled name."""
    functions = collections.defaultdict(Function)
    lines = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", program], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    current = None
    for line in lines:
        start = FUNCTION.match(line)
        if start:
            current = functions[base_name(start.group(1))]
            continue
        if current is None:
            continue
        if re.search(r"\t(syscall|sysenter|int +\$0x80)\b", line):
            current.system_calls += 1
        transfer = TRANSFER.search(line)
        if transfer:
            note(current, transfer.group(1), transfer.group(2).strip())
    return functions


def base_name(name):
    # Parts that the compiler split off belong to their function.
    return re.sub(r" ?\[clone [^\]]*\]", "", name)


def note(function, kind, operand):
    target = TARGET.match(operand)
    if target:
        name = base_name(target.group(1))
        if name.endswith("@plt"):
            function.external.add(name[:-len("@plt")])
        else:
            function.callees.add(name)
    elif operand.startswith("*"):
        got = THROUGH_GOT.search(operand)
        if got:
            function.external.add(got.group(1))
        # A jump of that kind is a switch statement.
        elif kind == "call":
            function.indirect.add(operand)


def reach(functions):
    """The functions reached, with how each was."""
    paths = {ROOT: ROOT}
    queue = collections.deque([ROOT])
    while queue:
        name = queue.popleft()
        for callee in functions[name].callees:
            if PASSED_ON.match(callee):
                continue
            if callee not in paths and callee in functions:
                paths[callee] = paths[name] + "\n      -> " + callee
                queue.append(callee)
    return paths


def main(program):
    functions = disassemble(program)
    if ROOT not in functions:
        sys.exit(f"no {ROOT} in {program}")
    paths = reach(functions)
    wrong = []
    for name, path in paths.items():
        function = functions[name]
        for external in sorted(function.external - ALLOWED.keys()):
            wrong.append(f"calls {external}:\n      {path}")
        if function.indirect and name not in INDIRECT:
            wrong.append(f"calls through a pointer, {sorted(function.indirect)}:\n      {path}")
        if function.system_calls and name not in ENTERS_KERNEL:
            wrong.append(f"enters the kernel:\n      {path}")
    for expected in EXPECTED:
        if not any(name.startswith(expected) for name in paths):
            wrong.append(f"never reaches {expected}, so this test tests nothing")
    print(f"{len(paths)} functions reached from the handler")
    for problem in wrong:
        print("The handler " + problem)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
