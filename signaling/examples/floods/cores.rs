//! Who has which core.

use std::path::Path;
use std::process::Command;

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The lowest priority there is.
const LAST: i32 = 19;

/// This process takes the first core; who has which, in words.
pub fn divide() -> String {
    let cores = cores();
    let [first, second, ..] = cores[..] else {
        return "One core for everybody: what moves is the flooder's work, too.".to_owned();
    };
    take(&[first]);
    let policy = if is_usual() { "usual" } else { "real-time" };
    format!(
        "Honest peers on core {first}, the server on all, both with the {policy} policy; the flooder on core {second} with nice {LAST}.\n\
         The same when nobody floods."
    )
}

/// The server's: all that there are.
pub fn take_all() {
    // what the machine does not have, or does not give, is left out
    take(&(0..CpuSet::MAX_CPU).collect::<Vec<_>>());
}

/// The flooder's: another one than that of the honest peers, and the lowest priority.
pub fn take_other() {
    let _ = setpriority_process(None, LAST);
    let honest = cores();
    take_all();
    if let Some(other) = cores().into_iter().find(|core| !honest.contains(core)) {
        take(&[other]);
    }
}

/// A command that does not inherit a real-time policy.
pub fn usual(program: &Path) -> Command {
    if is_usual() {
        return Command::new(program);
    }
    let mut command = Command::new("chrt");
    command.args(["--other", "0"]).arg(program);
    command
}

/// The 41st field of the file is the policy, the second one may hold spaces.
fn is_usual() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux says it");
    stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(38)) == Some("0")
}

fn cores() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("Linux says it");
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// For this thread and those that it starts.
fn take(cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).expect("one that it has");
}
