# SPDX-License-Identifier: Apache-2.0
"""Tasks in gdb, of a live process or a core file, with or without debug information.

    (gdb) source runtime/gdb/curg_gdb.py
    (gdb) curg tasks              all tasks: id, state, what they wait for, name, spawn site
    (gdb) curg tasks reader       those whose name contains "reader"
    (gdb) curg bt 7               the backtrace of task 7
    (gdb) curg bt all             of each

Where things are in memory is told by the program itself, in its symbol curg_debug_layout.
"""

import struct

import gdb
from gdb.unwinder import Unwinder, register_unwinder

FRAMES_MAX = 128


class Missing(gdb.GdbError):
    """There is nothing to show."""


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address):
    return struct.unpack("<Q", read(address, 8))[0]


def text_at(address):
    """A string that ends in a NUL."""
    out = b""
    while not out.endswith(b"\0"):
        out += read(address + len(out), 1)
    return out[:-1].decode("utf-8", "replace")


class Layout:
    """The offsets in curg_debug_layout."""

    def __init__(self):
        try:
            at = int(gdb.parse_and_eval("(unsigned long)&curg_debug_layout"))
            magic = read(at, 8)
        except gdb.error as error:
            raise Missing(f"this program has no curg runtime: {error}") from None
        if magic.rstrip(b"\0") != b"curg 2":
            raise Missing(f"this script does not know the layout {magic!r}")
        self.slab = word(at + 8)
        reasons = word(at + 16)
        self.offsets = {}
        for i in range(word(at + 24)):
            name, value = struct.unpack("<24sQ", read(at + 32 + 32 * i, 32))
            self.offsets[name.rstrip(b"\0").decode()] = value
        self.reasons = []
        while word(reasons + 8 * len(self.reasons)):
            self.reasons.append(text_at(word(reasons + 8 * len(self.reasons))))

    def __getitem__(self, name):
        return self.offsets[name]


class Task:
    """One task's record."""

    def __init__(self, layout, at, record):
        def field(name, form):
            return struct.unpack_from("<" + form, record, layout["task." + name])[0]

        self.at = at
        self.state = field("state", "B")
        self.saved = field("saved", "Q")
        self.stack = struct.unpack_from("<QQ", record, layout["task.stack"])
        self.id = field("id", "Q")
        self.spawner = field("spawner_id", "Q")
        self.spawn_pc = field("spawn_pc", "Q")
        self.reason = field("wait_reason", "B")
        self.object = field("wait_object", "Q")
        self.is_runtime = field("runtime_task", "B") != 0
        self.annex = field("annex", "Q")
        self.layout = layout

    def is_alive(self):
        # to start later, running, runnable, parked and what lies between; neither free, new nor ended
        return self.layout["state.delayed"] <= self.state <= self.layout["state.parked"]

    def name(self):
        if not self.annex:
            return ""
        data, size = struct.unpack("<QQ", read(self.annex + self.layout["annex.name"], 16))
        return read(data, min(size, 256)).decode("utf-8", "replace") if size else ""

    def state_text(self):
        if self.state == self.layout["state.parked"]:
            reasons = self.layout.reasons
            return reasons[self.reason] if self.reason < len(reasons) else f"parked ({self.reason})"
        if self.state == self.layout["state.delayed"]:
            return "not started"
        if self.state == self.layout["state.runnable"]:
            return "runnable" if self.saved else "not started"
        return "blocking" if self.state == self.layout["state.blocking"] else "running"

    def head(self):
        name = self.name()
        kind = "runtime task" if self.is_runtime else "task"
        waits = f" on {self.object:#x}" if self.state == self.layout["state.parked"] and self.object and self.state_text() != "sleep" else ""
        return f"{kind} {self.id}" + (f' "{name}"' if name else "") + f" [{self.state_text()}{waits}]"

    def registers(self):
        """Of a suspended task, by name; None for others."""
        if not self.saved:
            return None
        registers = {name: word(self.saved + self.layout["saved." + name])
                     for name in ("r12", "r13", "r14", "r15", "rbx", "rbp", "rip")}
        registers["rsp"] = self.saved + self.layout["saved.size"]
        return registers


def all_tasks():
    layout = Layout()
    slab = word(layout.slab)
    if slab == 0:
        return
    begin, end = word(slab + layout["slab.arenas"]), word(slab + layout["slab.arenas"] + 8)
    for entry in range(begin, end, 8):
        arena = word(entry)
        for i in range(1, word(arena + layout["arena.made"]) + 1):
            chunk = arena + layout["arena.chunks"] + i * layout["chunk.size"]
            used = struct.unpack("<I", read(chunk + layout["chunk.used"], 4))[0]
            size = layout["task.size"]
            first = arena + i * layout["chunk.bytes"]
            records = read(first, used * size)
            for j in range(used):
                task = Task(layout, first + j * size, records[j * size:(j + 1) * size])
                if task.is_alive():
                    yield task


def place(pc):
    """The function, file and line that hold `pc`."""
    sal = gdb.find_pc_line(pc)
    block = None
    try:
        block = gdb.block_for_pc(pc)
    except (RuntimeError, gdb.error):
        pass
    while block is not None and block.function is None:
        block = block.superblock
    if block is not None and block.function is not None:
        name = block.function.print_name
    else:
        symbol = gdb.execute(f"info symbol {pc:#x}", to_string=True).strip()
        name = symbol if symbol.startswith("No symbol") else symbol.split(" in section")[0]
    if sal.symtab is not None:
        return f"{name} at {sal.symtab.filename}:{sal.line}"
    return name


class FrameId:
    def __init__(self, sp, pc):
        self.sp = gdb.Value(sp)
        self.pc = gdb.Value(pc)


class TaskUnwinder(Unwinder):
    """While it has registers, says that they are those of the caller of the innermost frame. So frames above it are a
    task's, and nothing has to be written, which a core file would not allow."""

    def __init__(self):
        super().__init__("curg tasks")
        self.registers = None

    def __call__(self, pending):
        if self.registers is None or pending.level() != 0:
            return None
        kind = pending.architecture().integer_type(64, False)
        info = pending.create_unwind_info(FrameId(pending.read_register("rsp"), pending.read_register("rip")))
        for name, value in self.registers.items():
            info.add_saved_register(name, gdb.Value(value).cast(kind))
        return info


UNWINDER = TaskUnwinder()
register_unwinder(None, UNWINDER, replace=True)


def print_frames(frame, stack):
    number = 0
    while frame is not None and number < FRAMES_MAX:
        sp = int(frame.read_register("rsp"))
        if not stack[0] <= sp <= stack[1]:
            return
        pc = frame.pc()
        name = frame.name() or ""
        if "make_fcontext" in name or pc == 0:
            return
        where = place(pc if number == 0 else pc - 1)
        print(f"    #{number:<3} {pc:#018x} in {where}")
        number += 1
        try:
            frame = frame.older()
        except gdb.error as error:
            print(f"    ({error})")
            return


def show_suspended(task, registers):
    UNWINDER.registers = registers
    gdb.invalidate_cached_frames()
    try:
        print_frames(gdb.newest_frame().older(), task.stack)
    finally:
        UNWINDER.registers = None
        gdb.invalidate_cached_frames()


def show_running(task):
    """The thread whose stack pointer is on the task's stack, if any."""
    selected = gdb.selected_thread()
    try:
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            frame = gdb.newest_frame()
            # In a signal handler the task's frames are further out.
            for _ in range(32):
                if frame is None:
                    break
                if task.stack[0] <= int(frame.read_register("rsp")) < task.stack[1]:
                    print(f"    on thread {thread.num}:")
                    print_frames(frame, task.stack)
                    return
                frame = frame.older()
        print("    runs, but is on no thread's stack just now")
    finally:
        selected.switch()


def show(task):
    print(task.head() + ":")
    registers = task.registers()
    if registers is not None:
        show_suspended(task, registers)
    elif task.state_text() == "not started":
        print("    (no stack yet)")
    else:
        show_running(task)
    spawner = f"task {task.spawner}" if task.spawner else "a plain thread"
    print(f"  spawned by {spawner} at {place(task.spawn_pc - 1)}")


class CurgCommand(gdb.Command):
    """Tasks of the curg runtime: tasks, bt."""

    def __init__(self):
        super().__init__("curg", gdb.COMMAND_STACK, gdb.COMPLETE_NONE, True)


class TasksCommand(gdb.Command):
    """curg tasks [NAME]: lists all tasks, or those whose name contains NAME. The runtime's own come last."""

    def __init__(self):
        super().__init__("curg tasks", gdb.COMMAND_STACK)

    def invoke(self, argument, _from_tty):
        tasks = [task for task in all_tasks() if argument in task.name()]
        for task in sorted(tasks, key=lambda task: (task.is_runtime, task.id)):
            print(f"{task.head()} spawned at {place(task.spawn_pc - 1)}")
        print(f"{len(tasks)} tasks")


class BacktraceCommand(gdb.Command):
    """curg bt ID|all: the backtrace of a task, or of all."""

    def __init__(self):
        super().__init__("curg bt", gdb.COMMAND_STACK)

    def invoke(self, argument, _from_tty):
        words = argument.split()
        if len(words) != 1 or not (words[0] == "all" or words[0].isdigit()):
            raise gdb.GdbError("usage: curg bt ID|all")
        tasks = [task for task in all_tasks() if words[0] == "all" or task.id == int(words[0])]
        if not tasks:
            raise Missing(f"there is no task {words[0]}")
        for task in sorted(tasks, key=lambda task: (task.is_runtime, task.id)):
            show(task)


CurgCommand()
TasksCommand()
BacktraceCommand()
