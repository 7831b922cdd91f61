//! What a run must not leave behind: processes, files, ports.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use crate::processes::{self, Process};
use crate::sockets::{self, Kind, Socket};

/// The ports that these processes hold.
pub fn ports(processes: &[Process]) -> BTreeSet<Socket> {
    let sockets = processes.iter().flat_map(|process| sockets::of(process.pid));
    sockets.filter(Socket::holds_port).collect()
}

#[track_caller]
pub fn assert_no_process(path: &Path) {
    let left = processes::mentioning(path);
    assert!(left.is_empty(), "processes were left behind: {left:#?}");
}

/// Nothing is in the folders of a user's runs.
#[track_caller]
pub fn assert_no_run_folder(runtime: &Path) {
    let folders = std::fs::read_dir(runtime).expect("the scene has it").flatten();
    let left: Vec<_> =
        folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten()).collect();
    assert!(left.is_empty(), "files were left behind: {left:?}");
}

/// Whoever wants these ports can have them. One that another test's run was given meanwhile is no concern of ours.
#[track_caller]
pub fn assert_free(ports: &BTreeSet<Socket>) {
    assert!(!ports.is_empty(), "the run held no port at all");
    for port in ports {
        let bound = match port.kind {
            Kind::Tcp => TcpListener::bind(port.local).map(drop),
            Kind::Udp => UdpSocket::bind(port.local).map(drop),
        };
        let Err(error) = bound else { continue };
        assert!(!is_still_held(port), "{port:?} cannot be bound: {error}");
    }
}

/// A socket keeps its inode number for life.
fn is_still_held(port: &Socket) -> bool {
    sockets::machine().contains(port)
}
