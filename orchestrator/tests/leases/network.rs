//! Networks: the one of a round, and those in which its services live.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nix::sched::{CloneFlags, unshare};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::processes::Process;

/// One of them. As long as it is held, the kernel gives its number to no other.
#[derive(Clone)]
pub struct Network {
    number: PathBuf,
    held: Arc<File>,
}

impl Network {
    /// A new one with nothing but loopback, where that can be had: nobody else takes a port there.
    pub fn new() -> Option<Self> {
        let made = || -> io::Result<Self> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
            if up.success() { Self::at(Path::new("/proc/thread-self/ns/net")) } else { Err(io::Error::other("no ip")) }
        };
        // on a thread of its own, which ends with it: this process itself goes nowhere
        let made = || std::thread::scope(|scope| scope.spawn(made).join()).expect("nothing panics there");
        rustix::process::geteuid().is_root().then(made).and_then(Result::ok)
    }

    /// That of a service.
    pub fn of(service: &Process) -> Self {
        Self::at(Path::new(&format!("/proc/{}/ns/net", service.pid))).expect("it runs")
    }

    fn at(file: &Path) -> io::Result<Self> {
        Ok(Self { held: Arc::new(File::open(file)?), number: std::fs::read_link(file)? })
    }

    /// For this thread alone, which ends with what it does there.
    pub fn enter(&self) {
        move_into_link_name_space(self.held.as_fd(), Some(LinkNameSpaceType::Network)).expect("it is a network");
    }

    /// Whether any process is in there.
    pub fn is_lived_in(&self) -> bool {
        let entries = std::fs::read_dir("/proc").expect("this is Linux").flatten();
        entries
            .filter_map(|entry| std::fs::read_link(entry.path().join("ns/net")).ok())
            .any(|other| other == self.number)
    }
}
