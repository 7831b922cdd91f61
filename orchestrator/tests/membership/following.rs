//! What a run has started, and that nobody is left to end: the way into a cluster, by kubectl.

use std::os::fd::AsFd as _;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::process::{PATIENCE, Process};

#[test]
fn a_program_that_follows_ends_with_whoever_started_it_also_if_that_one_is_killed() {
    let follow =
        format!("{} follow --parent $$ -- sh -c 'echo $$; exec tail -f /dev/null'", env!("CARGO_BIN_EXE_meshproof"));
    let mut starts = Command::new("sh");
    starts.args(["-c", &format!("{follow} & wait")]);
    let mut starts = Process::start(starts);
    let line = starts.says("");
    let follower = line.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
    // readable once it has ended, whoever has waited for it
    let end = pidfd_open(follower, PidfdFlags::empty()).expect("it goes on");
    starts.kill();
    let patience = Timespec::try_from(PATIENCE).expect("a minute");
    let ended =
        poll(&mut [PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)], Some(&patience)).expect("it is a process");
    assert_eq!(ended, 1, "it goes on without anybody");
}
