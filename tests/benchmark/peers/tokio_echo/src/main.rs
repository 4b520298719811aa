// SPDX-License-Identifier: Apache-2.0

//! The echo comparison's server on tokio's multi-threaded runtime: one task a connection.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn text(name: &str) -> Option<String> {
    std::env::args().find_map(|text| text.strip_prefix(name).map(str::to_string))
}

fn argument(name: &str) -> u64 {
    let value = text(name).unwrap_or_else(|| panic!("{name} is missing"));
    value.parse().expect("a number was expected")
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes; the clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

async fn echo(mut stream: TcpStream) {
    let mut data = [0u8; 1024];
    while let Ok(n) = stream.read(&mut data).await {
        if n == 0 || stream.write_all(&data[..n]).await.is_err() {
            return;
        }
    }
}

async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.expect("accept failed");
        stream.set_nodelay(true).expect("no nodelay");
        tokio::spawn(echo(stream));
    }
}

async fn work() {
    loop {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(20) {}
        tokio::task::yield_now().await;
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(argument("--workers=") as usize)
        .enable_io()
        .build()
        .expect("no runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("no port");
    let port = listener.local_addr().expect("no address").port();
    runtime.spawn(serve(listener));
    for _ in 0..text("--busy=").map_or(0, |value| value.parse().expect("a number")) {
        runtime.spawn(work());
    }
    let mut load = Command::new(std::env::var("CURG_ECHO_LOAD").expect("CURG_ECHO_LOAD is not set"))
        .arg(format!("--workload={}", text("--workload=").unwrap_or("echo".to_string())))
        .arg(format!("--port={port}"))
        .arg(format!("--connections={}", argument("--tasks=")))
        .arg(format!("--requests={}", argument("--ops=")))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the load does not start");
    let mut lines = BufReader::new(load.stdout.take().expect("piped")).lines();
    loop {
        match lines.next() {
            Some(Ok(line)) if line.starts_with('{') => println!("{line}"),
            Some(Ok(_)) => break,
            _ => std::process::exit(0),
        }
    }
    let (cpu, start) = (cpu_time(), Instant::now());
    let end = lines.next().expect("the load failed").expect("the load failed");
    let (cpu, wall) = (cpu_time() - cpu, start.elapsed());
    let mut numbers = end.split(' ').skip(1).map(|text| text.parse::<f64>().expect("a number"));
    let mut next = || numbers.next().expect("three numbers");
    let (requests, p50, p99) = (next(), next(), next());
    let report = |metric: &str, unit: &str, value: f64| {
        let (wall, cpu) = (wall.as_nanos(), cpu.as_nanos());
        println!(
            "{{\"metric\": \"{metric}\", \"unit\": \"{unit}\", \"value\": {value:.3}, \
             \"wall_ns\": {wall}, \"cpu_ns\": {cpu}}}"
        );
    };
    report("", "ns/request", wall.as_nanos() as f64 / requests);
    report("cpu", "ns/request", cpu.as_nanos() as f64 / requests);
    report("p50", "us", p50 / 1e3);
    report("p99", "us", p99 / 1e3);
    std::process::exit(0);
}
