// SPDX-License-Identifier: Apache-2.0

//! The workloads, and how each is measured.

use crate::measure::{
    block_thread, burn, report, report_delays, report_per_op, report_wall_and_cpu, resident_bytes,
    short_call, sleep_time, ten_microseconds, Arguments, Stretch,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, Mutex, Notify};
use tokio::task::{spawn, yield_now, JoinHandle};

const BRANCHES: u64 = 10; // of the skynet tree

/// What can be waited for until it has been counted down to nothing.
struct CountDown {
    count: AtomicU64,
    zero: Notify,
}

impl CountDown {
    fn new(count: u64) -> CountDown {
        CountDown { count: AtomicU64::new(count), zero: Notify::new() }
    }

    fn done(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.zero.notify_one(); // kept until somebody waits
        }
    }

    async fn wait(&self) {
        self.zero.notified().await;
    }
}

async fn yield_in_turn(tasks: u64, ops: u64) {
    let body = move || async move {
        for _ in 0..ops / tasks {
            yield_now().await;
        }
    };
    let handles: Vec<_> = (0..tasks).map(|_| spawn(body())).collect();
    for handle in handles {
        handle.await.unwrap();
    }
}

/// The nearest to an unbuffered channel: one that holds one value.
async fn ping_pong(_: u64, ops: u64) {
    let (ping, mut ping_out) = mpsc::channel::<u64>(1);
    let (pong, mut pong_out) = mpsc::channel::<u64>(1);
    let other = spawn(async move {
        while let Some(value) = ping_out.recv().await {
            pong.send(value).await.unwrap();
        }
    });
    for i in 0..ops {
        ping.send(i).await.unwrap();
        pong_out.recv().await.unwrap();
    }
    drop(ping);
    other.await.unwrap();
}

async fn spawn_and_join(tasks: u64, ops: u64) {
    let mut batch: Vec<JoinHandle<()>> = Vec::with_capacity(tasks as usize);
    for _ in 0..ops / tasks {
        batch.extend((0..tasks).map(|_| spawn(async {})));
        for handle in batch.drain(..) {
            handle.await.unwrap();
        }
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn skynet_channels(parent: mpsc::Sender<u64>, number: u64, leaves: u64) -> Boxed<()> {
    Box::pin(async move {
        let mut sum = number;
        if leaves > 1 {
            let (sender, mut children) = mpsc::channel(1);
            let below = leaves / BRANCHES;
            for i in 0..BRANCHES {
                spawn(skynet_channels(sender.clone(), number + i * below, below));
            }
            drop(sender);
            sum = 0;
            while let Some(part) = children.recv().await {
                sum += part;
            }
        }
        parent.send(sum).await.unwrap();
    })
}

fn skynet_joins(number: u64, leaves: u64) -> Boxed<u64> {
    Box::pin(async move {
        if leaves == 1 {
            return number;
        }
        let below = leaves / BRANCHES;
        let child = |i| spawn(skynet_joins(number + i * below, below));
        let children: [JoinHandle<u64>; BRANCHES as usize] =
            std::array::from_fn(|i| child(i as u64));
        let mut sum = 0;
        for handle in children {
            sum += handle.await.unwrap();
        }
        sum
    })
}

async fn sum_over_channels(leaves: u64) {
    let (sender, mut result) = mpsc::channel(1);
    spawn(skynet_channels(sender, 0, leaves));
    assert_eq!(result.recv().await.unwrap(), leaves * (leaves - 1) / 2);
}

async fn sum_over_joins(leaves: u64) {
    assert_eq!(spawn(skynet_joins(0, leaves)).await.unwrap(), leaves * (leaves - 1) / 2);
}

async fn contend(tasks: u64, ops: u64) {
    let count = Arc::new(Mutex::new(0u64));
    let body = |count: Arc<Mutex<u64>>| async move {
        for _ in 0..ops / tasks {
            *count.lock().await += 1;
        }
    };
    let handles: Vec<_> = (0..tasks).map(|_| spawn(body(count.clone()))).collect();
    for handle in handles {
        handle.await.unwrap();
    }
    assert_eq!(*count.lock().await, ops / tasks * tasks);
}

/// tokio's own channels have one receiver.
async fn many_to_many(tasks: u64, ops: u64) {
    let pairs = tasks / 2;
    let (sender, receiver) = async_channel::bounded(128);
    let mut handles = Vec::new();
    for _ in 0..pairs {
        let sender = sender.clone();
        handles.push(spawn(async move {
            for j in 0..ops / pairs {
                sender.send(j).await.unwrap();
            }
        }));
        let receiver = receiver.clone();
        handles.push(spawn(async move {
            for _ in 0..ops / pairs {
                receiver.recv().await.unwrap();
            }
        }));
    }
    for handle in handles {
        handle.await.unwrap();
    }
}

/// Tasks that wait for one notification of all.
struct Parked {
    tasks: u64,
    gate: Notify,
    here: CountDown,
    done: CountDown,
}

impl Parked {
    /// Returns when all of them wait.
    async fn start(tasks: u64) -> Arc<Parked> {
        let (here, done) = (CountDown::new(tasks), CountDown::new(tasks));
        let parked = Arc::new(Parked { tasks, gate: Notify::new(), here, done });
        for _ in 0..tasks {
            let parked = parked.clone();
            spawn(async move {
                {
                    let mut opened = std::pin::pin!(parked.gate.notified());
                    opened.as_mut().enable(); // waits from here on
                    parked.here.done();
                    opened.await;
                }
                parked.done.done();
            });
        }
        if tasks > 0 {
            parked.here.wait().await;
        }
        parked
    }

    /// Returns when all of them have ended.
    async fn wake(&self) {
        self.gate.notify_waiters();
        if self.tasks > 0 {
            self.done.wait().await;
        }
    }
}

async fn measure_parked(tasks: u64) {
    let before = resident_bytes();
    let create = Stretch::begin();
    let parked = Parked::start(tasks).await;
    let create = create.end();
    let resident = resident_bytes() - before;
    let wake = Stretch::begin();
    parked.wake().await;
    let wake = wake.end();
    report_per_op("create", "ns/task", tasks, &create);
    report_per_op("wake", "ns/task", tasks, &wake);
    report("resident", "bytes/task", resident as f64 / tasks as f64, &create);
}

async fn measure_timers(tasks: u64, sleeps: u64) {
    let stretch = Stretch::begin();
    let done = Arc::new(CountDown::new(tasks));
    for i in 0..tasks {
        let done = done.clone();
        spawn(async move {
            for j in 0..sleeps {
                tokio::time::sleep(sleep_time(i, j)).await;
            }
            done.done();
        });
    }
    done.wait().await;
    let stretch = stretch.end();
    report("wall", "ms", stretch.wall.as_secs_f64() * 1e3, &stretch);
    report("cpu", "ms", stretch.cpu.as_secs_f64() * 1e3, &stretch);
}

async fn measure_wake_latency(arguments: &Arguments) {
    let over = Arc::new(AtomicBool::new(false));
    for _ in 0..arguments.tasks * arguments.workers as u64 {
        let over = over.clone();
        spawn(async move {
            while !over.load(Ordering::Relaxed) {
                burn(Duration::from_micros(20));
                yield_now().await;
            }
        });
    }
    let (sent_at, mut received) = mpsc::channel::<Instant>(1024);
    let woken = spawn(async move {
        let mut delays = Vec::new();
        while let Some(sent) = received.recv().await {
            delays.push(sent.elapsed());
        }
        delays
    });
    let stretch = Stretch::begin();
    for _ in 0..arguments.ops {
        if arguments.tasks == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sent_at.send(Instant::now()).await.unwrap();
        burn(Duration::from_micros(if arguments.tasks == 0 { 500 } else { 20 }));
        yield_now().await;
    }
    drop(sent_at);
    let stretch = stretch.end();
    report_delays(woken.await.unwrap(), &stretch);
    over.store(true, Ordering::Relaxed);
}

async fn call_blocking(tasks: u64, ops: u64) {
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            tokio::spawn(async move {
                for _ in 0..ops / tasks {
                    tokio::task::spawn_blocking(block_thread).await.unwrap();
                }
            })
        })
        .collect();
    for handle in handles {
        handle.await.unwrap();
    }
}

async fn measure_blocking(arguments: &Arguments) {
    call_blocking(arguments.tasks, std::cmp::max(arguments.ops / 10, arguments.tasks)).await;
    let stretch = Stretch::begin();
    call_blocking(arguments.tasks, arguments.ops).await;
    report_wall_and_cpu(arguments.ops, &stretch.end());
}

/// How many nanoseconds `call` takes more than `bare`: so many of each in a row, in turn; the least of
/// each.
async fn report_extra<F: Future>(
    metric: &str,
    ops: u64,
    in_a_row: u32,
    bare: fn(),
    call: impl Fn() -> F,
) {
    let stretch = Stretch::begin();
    let (mut least_bare, mut least_call) = (Duration::MAX, Duration::MAX);
    for _ in 0..std::cmp::max(1, ops / u64::from(in_a_row)) {
        let start = Instant::now();
        for _ in 0..in_a_row {
            bare();
        }
        least_bare = std::cmp::min(least_bare, start.elapsed());
        let start = Instant::now();
        for _ in 0..in_a_row {
            call().await;
        }
        least_call = std::cmp::min(least_call, start.elapsed());
    }
    let more = least_call.as_nanos() as f64 - least_bare.as_nanos() as f64;
    report(metric, "ns more", more / f64::from(in_a_row), &stretch.end());
}

async fn measure_short_calls(ops: u64) {
    let call = |work: fn()| tokio::task::spawn_blocking(work);
    report_extra("call", ops, 1000, short_call, || call(short_call)).await;
    report_extra("10us", ops / 10, 20, ten_microseconds, || call(ten_microseconds)).await;
}

async fn measure_calls_in_place(ops: u64) {
    let call = |work: fn()| async move { tokio::task::block_in_place(work) };
    report_extra("call", ops, 1000, short_call, || call(short_call)).await;
    report_extra("10us", ops / 10, 20, ten_microseconds, || call(ten_microseconds)).await;
}

/// What a sleep of 100 us takes longer than that.
async fn measure_sleep(ops: u64) {
    let wanted = Duration::from_micros(100);
    let mut overshoots = Vec::new();
    let stretch = Stretch::begin();
    for _ in 0..ops {
        let start = Instant::now();
        tokio::time::sleep(wanted).await;
        overshoots.push(start.elapsed().saturating_sub(wanted));
    }
    report_delays(overshoots, &stretch.end());
}

async fn measure_ops<F: Future<Output = ()>>(arguments: &Arguments, body: impl Fn(u64, u64) -> F) {
    let parked = Parked::start(arguments.live).await;
    body(arguments.tasks, std::cmp::max(arguments.ops / 10, arguments.tasks)).await;
    let stretch = Stretch::begin();
    body(arguments.tasks, arguments.ops).await;
    report_per_op("", "ns/op", arguments.ops, &stretch.end());
    parked.wake().await;
}

async fn measure_tree<F: Future<Output = ()>>(arguments: &Arguments, body: impl Fn(u64) -> F) {
    let parked = Parked::start(arguments.live).await;
    body(arguments.tasks / BRANCHES).await;
    let stretch = Stretch::begin();
    body(arguments.tasks).await;
    report_per_op("", "ns/leaf", arguments.tasks, &stretch.end());
    parked.wake().await;
}

pub async fn measure(arguments: Arguments) {
    match arguments.workload.as_str() {
        "yield" => measure_ops(&arguments, yield_in_turn).await,
        "ping_pong" => measure_ops(&arguments, ping_pong).await,
        "spawn_join" => measure_ops(&arguments, spawn_and_join).await,
        "skynet_channels" => measure_tree(&arguments, sum_over_channels).await,
        "skynet_joins" => measure_tree(&arguments, sum_over_joins).await,
        "mutex" => measure_ops(&arguments, contend).await,
        "mpmc" => measure_ops(&arguments, many_to_many).await,
        "parked" => measure_parked(arguments.tasks).await,
        "blocking" => measure_blocking(&arguments).await,
        "blocking_short" => measure_short_calls(arguments.ops).await,
        "blocking_in_place" => measure_calls_in_place(arguments.ops).await,
        "sleep" => measure_sleep(arguments.ops).await,
        "wake_latency" => measure_wake_latency(&arguments).await,
        "timers" => measure_timers(arguments.tasks, arguments.ops).await,
        unknown => {
            eprintln!("unknown workload {unknown}");
            std::process::exit(3)
        }
    }
}
