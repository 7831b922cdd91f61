//! Sockets of processes: `/proc/<pid>/fd` says which a process has, `/proc/net` what they are.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

/// One IPv4 socket of the machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    pub kind: Kind,
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
    state: u8,
    inode: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Tcp,
    Udp,
}

/// From include/net/tcp_states.h of Linux.
const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;

impl Socket {
    pub fn is_established(&self) -> bool {
        self.kind == Kind::Tcp && self.state == ESTABLISHED
    }

    /// Whether its port is taken by it alone.
    pub fn holds_port(&self) -> bool {
        self.kind == Kind::Udp || self.state == LISTEN
    }
}

/// The IPv4 sockets of a process.
pub fn of(pid: i32) -> Vec<Socket> {
    let inodes = inodes(pid);
    machine().into_iter().filter(|socket| inodes.contains(&socket.inode)).collect()
}

fn inodes(pid: i32) -> BTreeSet<u64> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |target: &str| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    entries.filter_map(|entry| inode(entry.path().read_link().ok()?.to_str()?)).collect()
}

/// All IPv4 sockets of the machine.
pub fn machine() -> Vec<Socket> {
    let table = |file: &str, kind| {
        let text = std::fs::read_to_string(file).expect("this is Linux");
        text.lines().skip(1).filter_map(|line| parse(line, kind)).collect::<Vec<_>>()
    };
    [table("/proc/net/tcp", Kind::Tcp), table("/proc/net/udp", Kind::Udp)].concat()
}

/// `sl local_address rem_address st … uid timeout inode`.
fn parse(line: &str, kind: Kind) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let state = u8::from_str_radix(fields.get(3)?, 16).ok()?;
    let inode = fields.get(9)?.parse().ok()?;
    Some(Socket { kind, local: address(fields.get(1)?)?, remote: address(fields.get(2)?)?, state, inode })
}

/// `0100007F:1F90`: the address in the machine's byte order, the port as a number.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(ip.to_ne_bytes()), u16::from_str_radix(port, 16).ok()?))
}
