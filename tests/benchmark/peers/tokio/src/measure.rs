// SPDX-License-Identifier: Apache-2.0

//! Arguments, clocks, memory, output: as ../../measure.h.

use std::time::{Duration, Instant};

#[derive(Clone)]
pub struct Arguments {
    pub workload: String,
    pub workers: usize,
    pub tasks: u64,
    pub ops: u64,
    pub live: u64,
}

impl Arguments {
    /// Ends the program when there is an argument that it does not know.
    pub fn parse() -> Arguments {
        let mut all = Arguments { workload: String::new(), workers: 1, tasks: 1, ops: 1, live: 0 };
        for argument in std::env::args().skip(1) {
            let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
            let number = || value.parse::<u64>().expect("a number was expected");
            match name {
                "--workload" => all.workload = value.to_string(),
                "--workers" => all.workers = number() as usize,
                "--tasks" => all.tasks = number(),
                "--ops" => all.ops = number(),
                "--live" => all.live = number(),
                _ => {
                    eprintln!("unknown argument {argument}");
                    std::process::exit(2)
                }
            }
        }
        all
    }
}

/// A stretch of wall time and of this process's CPU time.
pub struct Stretch {
    wall_start: Instant,
    cpu_start: Duration,
    pub wall: Duration,
    pub cpu: Duration,
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes; the clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Stretch {
    pub fn begin() -> Stretch {
        let cpu_start = cpu_time();
        Stretch { wall_start: Instant::now(), cpu_start, wall: Duration::ZERO, cpu: Duration::ZERO }
    }

    pub fn end(mut self) -> Stretch {
        self.wall = self.wall_start.elapsed();
        self.cpu = cpu_time() - self.cpu_start;
        self
    }
}

pub fn report(metric: &str, unit: &str, value: f64, stretch: &Stretch) {
    let (wall, cpu) = (stretch.wall.as_nanos(), stretch.cpu.as_nanos());
    println!(
        "{{\"metric\": \"{metric}\", \"unit\": \"{unit}\", \"value\": {value:.3}, \
         \"wall_ns\": {wall}, \"cpu_ns\": {cpu}}}"
    );
}

pub fn report_per_op(metric: &str, unit: &str, ops: u64, stretch: &Stretch) {
    report(metric, unit, stretch.wall.as_nanos() as f64 / ops as f64, stretch);
}

/// Blocks this thread for 50 us, by the kernel's clock: without the slack that threads have by default.
pub fn block_thread() {
    thread_local! {
        // SAFETY: changes nothing but this thread's timer slack.
        static EXACT: i32 = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    }
    EXACT.with(|_| ());
    std::thread::sleep(Duration::from_micros(50));
}

/// What blocks its thread for less than anybody could notice: the shortest system call; and work that
/// takes 10 us or so.
pub fn short_call() {
    // SAFETY: it has no arguments, and cannot fail.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

pub fn ten_microseconds() {
    let mut number = 1u64;
    for _ in 0..6500 {
        number = number.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        number = std::hint::black_box(number);
    }
}

/// Wall and CPU time per operation.
pub fn report_wall_and_cpu(ops: u64, stretch: &Stretch) {
    report("wall", "ns/call", stretch.wall.as_nanos() as f64 / ops as f64, stretch);
    report("cpu", "ns/call", stretch.cpu.as_nanos() as f64 / ops as f64, stretch);
}

/// Keeps this CPU busy.
pub fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {}
}

/// Median and 99th percentile, without the first tenth (warming up).
pub fn report_delays(mut delays: Vec<Duration>, stretch: &Stretch) {
    let mut delays = delays.split_off(delays.len() / 10);
    delays.sort();
    report("p50", "us", delays[delays.len() / 2].as_nanos() as f64 / 1e3, stretch);
    report("p99", "us", delays[delays.len() * 99 / 100].as_nanos() as f64 / 1e3, stretch);
}

/// Resident memory of this process and the page tables for it, in bytes.
pub fn resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("no /proc");
    let lines =
        status.lines().filter(|line| line.starts_with("VmRSS:") || line.starts_with("VmPTE:"));
    let kib = |line: &str| line.split_whitespace().nth(1).and_then(|text| text.parse::<i64>().ok());
    1024 * lines.map(|line| kib(line).unwrap_or(0)).sum::<i64>()
}

/// How long a task sleeps: 1 to 10 ms, the same in every program.
pub fn sleep_time(task: u64, sleep: u64) -> Duration {
    let mixed = (task * 16 + sleep).wrapping_mul(0x9E3779B97F4A7C15) >> 40;
    Duration::from_micros(1000 + mixed % 9001)
}
