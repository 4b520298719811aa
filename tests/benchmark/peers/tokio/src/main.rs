// SPDX-License-Identifier: Apache-2.0

//! The comparison's workloads on tokio's multi-threaded runtime. ../../../README.md defines them.

mod measure;
mod workloads;

use measure::Arguments;

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.workers)
        .enable_time()
        .build()
        .expect("no runtime");
    // Spawned: what block_on runs itself is not on a worker.
    let body = async move { tokio::spawn(workloads::measure(arguments)).await };
    runtime.block_on(body).expect("the workload failed");
}
