//! How fast and how light the mesh is, beside what it could be: `cargo bench -p meshproof-mesh`.
//!
//! One run, one table. Rivals take turns with us inside every round, so noise of the machine hits both, and the ratio is the
//! median of the rounds' ratios. All traffic stays on loopback and both ends share this process and its cores. A word on the
//! command line (`-- goodput`) runs the sections that bear it. A missed must ends it with exit code 1.

mod cores;
mod events;
mod formation;
mod goodput;
mod idle;
mod longpath;
mod machine;
mod measure;
mod rpc;
mod sections;
#[allow(dead_code, reason = "the bench of steps has ratios that should be low")]
mod table;
mod ways;
mod world;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;

use table::Table;

type Section = fn() -> Pin<Box<dyn Future<Output = Table> + Send>>;

/// In this order: memory is measured in processes of its own, and before others make noise.
const SECTIONS: &[(&str, Section)] = &[
    ("idle", || Box::pin(idle::run())),
    ("goodput", || Box::pin(goodput::run())),
    ("longpath", || Box::pin(longpath::run())),
    ("rpc", || Box::pin(rpc::run())),
    ("events", || Box::pin(events::run())),
    ("formation", || Box::pin(formation::run())),
];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be had");
    let words = sections::words();
    if words == [idle::CHILD] {
        runtime.block_on(async { tokio::spawn(idle::child()).await.expect("the child's task does not panic") });
        return ExitCode::SUCCESS;
    }
    if let [word, url, tcp] = &words[..]
        && word == rpc::CHILD
    {
        runtime.block_on(async { rpc::child(url, tcp).await });
        return ExitCode::SUCCESS;
    }
    // on a worker: the thread that blocks here would be one core more than the machine has
    let run = |section: &Section| {
        runtime.block_on(async { tokio::spawn(section()).await.expect("a section does not panic") })
    };
    sections::tell(&words, SECTIONS, run)
}
