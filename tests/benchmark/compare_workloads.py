# SPDX-License-Identifier: Apache-2.0
"""What is compared: the one place that says how large each workload is."""

import dataclasses
import math

import compare_echo

FLOOR = "floor"  # what the machine itself takes; a column, but not a system
TASK_SYSTEMS = ("curg", "go", "tokio", "boost_fiber")
TASK_ECHO_SYSTEMS = ("curg", "go", "tokio")
ECHO_SYSTEMS = TASK_ECHO_SYSTEMS + ("asio",)
ALL_SYSTEMS = TASK_SYSTEMS + ("asio",)


@dataclasses.dataclass(frozen=True, eq=False)
class Workload:
    """One row of the table (or one for each metric), at each number of workers."""

    name: str
    kind: str  # what the programs are told to do: their --workload
    about: str
    tasks: int = 1
    ops: int = 1
    quick_ops: int = 0  # with --quick; 0: the same
    quick_rounds: int = 3
    live: int = 0
    labelled: bool = False
    busy: int = 0
    workers_min: int = 1
    # What compare_floors measures for the floor beside the row, from this many workers up.
    floor: str = ""
    floor_workers_min: int = 1
    systems: tuple = TASK_SYSTEMS
    usual: bool = True  # runs without being asked for
    # GiB of memory that must be available, by system; "" for the others.
    memory: dict = dataclasses.field(default_factory=dict)

    def workers(self, asked_for):
        """The numbers of workers to measure with."""
        return [len(compare_echo.server_cpus())] if self.kind.startswith("echo") else asked_for

    def has(self, system, workers):
        """Whether the system does this with so many workers."""
        if system == FLOOR:
            return bool(self.floor) and workers >= max(self.workers_min, self.floor_workers_min)
        return system in self.systems and workers >= self.workers_min

    def arguments(self, system, quick, scale):
        """The program's arguments. `scale` shrinks everything, for tests."""
        kind = self.floor if system == FLOOR else self.kind
        tasks, ops = self.tasks, self.quick_ops if quick and self.quick_ops else self.ops
        if self.kind.startswith("skynet"):
            tasks = 10 ** max(2, round(math.log10(tasks * scale)))  # a full tree
        elif self.kind in ("parked", "timers"):
            tasks = max(1, int(tasks * scale))
        elif self.kind == "echo_idle":
            tasks = max(1, int(tasks * scale))
            ops *= tasks
        elif self.kind in ("wake_latency", "echo_wake", "sleep"):
            ops = max(10, int(ops * scale))
        else:
            ops = max(tasks, int(ops * scale) // tasks * tasks)
        arguments = [f"--workload={kind}", f"--tasks={tasks}", f"--ops={ops}"]
        if self.live:
            arguments.append(f"--live={max(1, int(self.live * scale))}")
        if self.labelled:
            arguments.append("--labelled")
        if self.busy:
            arguments.append(f"--busy={self.busy * len(compare_echo.server_cpus())}")
        return arguments


_MILLION_STACKS = {"": 6, "boost_fiber": 12}
_SKYNET = dict(tasks=1_000_000, quick_rounds=2, memory={"boost_fiber": 8})


def _growth():
    for tasks, name in ((10, "10"), (1000, "1k"), (100_000, "100k"), (1_000_000, "1m")):
        memory = _MILLION_STACKS if tasks == 1_000_000 else {}
        common = dict(live=tasks, usual=False, memory=memory, quick_rounds=1)
        beside = f"beside {tasks} parked tasks"
        yield Workload(f"growth_spawn_{name}", "spawn_join", f"spawn and join one task {beside}",
                       ops=500_000, quick_ops=100_000, **common)
        yield Workload(f"growth_yield_{name}", "yield", f"100 tasks yield {beside}", tasks=100,
                       ops=2_000_000, quick_ops=500_000, **common)
        yield Workload(f"growth_wake_{name}", "ping_pong", f"a round trip {beside}", ops=500_000,
                       quick_ops=100_000, **common)


WORKLOADS = (
    Workload("yield_1_task", "yield", "one task yields", ops=3_000_000, quick_ops=500_000),
    Workload("yield_1000_tasks", "yield", "1000 tasks yield in turn", tasks=1000, ops=5_000_000,
             quick_ops=1_000_000, floor="switch"),
    Workload("ping_pong", "ping_pong", "a round trip over two unbuffered channels", ops=1_000_000,
             quick_ops=200_000, floor="two_switches"),
    Workload("spawn_join_batches", "spawn_join", "empty tasks, 1000 at a time", tasks=1000,
             ops=1_000_000, quick_ops=200_000),
    Workload("spawn_join_one_at_a_time", "spawn_join", "empty tasks, one at a time", ops=1_000_000,
             quick_ops=200_000, floor="two_switches"),
    Workload("mutex_1_task", "mutex", "lock and unlock, uncontended", ops=20_000_000,
             quick_ops=5_000_000, floor="cas_and_store"),
    Workload("mutex_4_tasks", "mutex", "lock and unlock, 4 tasks", tasks=4, ops=4_000_000,
             quick_ops=800_000, floor="cache_line", floor_workers_min=2),
    Workload("mutex_100_tasks", "mutex", "lock and unlock, 100 tasks", tasks=100, ops=10_000_000,
             quick_ops=800_000, floor="cache_line", floor_workers_min=2),
    Workload("mpmc", "mpmc", "a channel of capacity 128, 4 senders, 4 receivers", tasks=8,
             ops=2_000_000, quick_ops=400_000, floor="cache_line", floor_workers_min=2),
    Workload("wake_latency_idle", "wake_latency",
             "from waking a task to its run; the waker works on, other workers are idle", tasks=0,
             ops=2000, quick_ops=400, workers_min=2),
    Workload("wake_latency_loaded", "wake_latency", "the same beside two busy tasks a worker",
             tasks=2, ops=20_000, quick_ops=4000, workers_min=2),
    Workload("labelled_spawn_join", "spawn_join", "spawn_join_batches by a labelled task",
             tasks=1000, ops=1_000_000, quick_ops=200_000, labelled=True, systems=("curg",)),
    Workload("labelled_skynet_joins", "skynet_joins", "skynet_joins by a labelled task",
             labelled=True, systems=("curg",), **_SKYNET),
    Workload("blocking_1_task", "blocking", "calls that block 50 us; the floor is a thread pool",
             ops=100_000, quick_ops=10_000, systems=("curg", "tokio"), floor="thread_pool"),
    Workload("blocking_16_tasks", "blocking", "the same from 16 tasks", tasks=16, ops=100_000,
             quick_ops=20_000, systems=("curg", "tokio"), floor="thread_pool"),
    Workload("blocking_short", "blocking_short", "what such a call costs beside the bare one, if it comes back at once, "
             "or within 10 us", ops=200_000, quick_ops=50_000, systems=("curg", "go", "tokio")),
    Workload("blocking_in_place", "blocking_in_place", "the same with tokio's block_in_place", ops=200_000,
             quick_ops=50_000, systems=("curg", "tokio")),
    Workload("sleep_100us", "sleep", "how much longer a sleep of 100 us takes on an idle runtime; the floor is "
             "clock_nanosleep", ops=3000, quick_ops=1000, floor="nanosleep"),
    Workload("parked_100k", "parked", "create 10^5 tasks that park, wake them; memory",
             tasks=100_000, floor="first_touch"),
    Workload("timers_100k", "timers", "10^5 tasks sleep 10 times 1 to 10 ms", tasks=100_000, ops=10,
             quick_rounds=2, floor="longest_chain"),
    Workload("skynet_channels", "skynet_channels", "a tree of 10^6 leaves, summed over channels",
             **_SKYNET),
    Workload("skynet_joins", "skynet_joins", "a tree of 10^6 leaves, summed by joining", **_SKYNET),
    Workload("parked_1m", "parked", "create 10^6 tasks that park, wake them; memory",
             tasks=1_000_000, quick_rounds=1, memory=_MILLION_STACKS, floor="first_touch"),
    *(Workload(f"echo_{connections}", "echo",
               f"TCP, 64 bytes there and back, {connections} connections, the server on half of the CPUs; "
               "the floor is bare epoll", tasks=connections, ops=600_000, quick_ops=200_000, floor="echo",
               systems=ECHO_SYSTEMS) for connections in (100, 1000)),
    Workload("echo_wake_idle", "echo_wake", "a request every millisecond to an idle server, until the answer: mostly the time "
             "from the reactor to the task", ops=3000, quick_ops=1000, floor="echo_wake", systems=ECHO_SYSTEMS),
    Workload("echo_wake_loaded", "echo_wake", "the same beside two busy tasks a worker", ops=3000, quick_ops=1000, busy=2,
             systems=TASK_ECHO_SYSTEMS),
    Workload("echo_idle_10k", "echo_idle", "10^4 connections that say nothing", tasks=10_000, ops=10, quick_ops=5,
             quick_rounds=1, floor="echo_idle", systems=ECHO_SYSTEMS),
    *_growth(),
)


def select(names):
    """The workloads of these names, or whose names begin with one of them; empty: the usual ones.

    Raises ValueError for a name that means none.
    """
    if not names:
        return [workload for workload in WORKLOADS if workload.usual]
    chosen = []
    for name in (name.replace("-", "_") for name in names):
        matching = [w for w in WORKLOADS if w.name == name or w.name.startswith(name + "_")]
        if not matching:
            raise ValueError(f"there is no workload {name}; see --help")
        chosen += [workload for workload in matching if workload not in chosen]
    return chosen
