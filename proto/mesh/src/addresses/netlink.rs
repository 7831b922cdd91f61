//! As much of rtnetlink as the watcher needs: notices of changes, and the two questions "which interfaces" and "which
//! addresses". Formats: rtnetlink(7), netlink(7), `linux/if_addr.h`, `linux/if_link.h`; numbers in the machine's own order.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The kernel fills at most 32 KiB at once when it answers.
const ANSWER_BYTES: usize = 32 * 1024;

/// A notice is not read, only taken: what does not fit is cut off.
pub(super) const NOTICE_BYTES: usize = 256;

/// An answer during which something changed is asked for again; after so many the machine is too restless to wait for.
const QUESTIONS: usize = 8;

const GROUPS: u32 = 0x1 | 0x10 | 0x100; // links, IPv4 addresses, IPv6 addresses

const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;

const REQUEST_DUMP: u16 = 0x1 | 0x300;
const DUMP_INTERRUPTED: u16 = 0x10;

const LINK_NAME: u16 = 3;
const ADDRESS_ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ADDRESS_FLAGS: u16 = 8;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub index: u32,
    pub name: String,
    pub flags: u32,
}

impl Interface {
    pub(super) fn is_loopback(&self) -> bool {
        self.flags & 0x8 != 0
    }

    /// Somebody switched it on, and it has a carrier.
    pub(super) fn is_running(&self) -> bool {
        self.flags & 0x1 != 0 && self.flags & 0x40 != 0
    }
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assigned {
    pub interface: u32,
    pub address: IpAddr,
    pub flags: u32,
}

impl Assigned {
    /// Not tentative, not a duplicate of another host's, not on its way out.
    pub(super) fn is_settled(&self) -> bool {
        self.flags & (0x40 | 0x08 | 0x20) == 0
    }
}

/// A socket that gets a message for each change, to be watched by tokio.
pub(super) fn changes() -> io::Result<tokio::net::UdpSocket> {
    let socket = Socket::new()?;
    rustix::net::bind(&socket.0, &SocketAddrNetlink::new(0, GROUPS))?;
    // tokio watches a descriptor safely only inside a type of its own; receiving is the same call for every family
    tokio::net::UdpSocket::from_std(std::net::UdpSocket::from(socket.0))
}

/// The kernel had more to tell than the socket holds.
pub(super) fn were_too_many(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error())
}

/// A socket for questions. It never blocks: the kernel has answered before a question returns.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    pub(super) fn new() -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // no protocol is the first one, which is rtnetlink
        Ok(Self(rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?))
    }

    pub(super) fn interfaces(&self) -> io::Result<Vec<Interface>> {
        self.all(GET_LINK, |kind, payload| if kind == NEW_LINK { interface(payload) } else { None })
    }

    pub(super) fn assigned(&self) -> io::Result<Vec<Assigned>> {
        self.all(GET_ADDRESS, |kind, payload| if kind == NEW_ADDRESS { assigned(payload) } else { None })
    }

    /// Every answer to a question, read by `read`.
    fn all<T>(&self, question: u16, read: impl Fn(u16, &[u8]) -> Option<T>) -> io::Result<Vec<T>> {
        for _ in 0..QUESTIONS {
            rustix::net::send(&self.0, &request(question), SendFlags::empty())?;
            let mut found = Vec::new();
            if self.answers(|kind, payload| found.extend(read(kind, payload)))? == Answer::Consistent {
                return Ok(found);
            }
        }
        Err(io::Error::other("the addresses of this machine change faster than they can be read"))
    }

    fn answers(&self, mut take: impl FnMut(u16, &[u8])) -> io::Result<Answer> {
        let mut buffer = vec![0; ANSWER_BYTES];
        let mut answer = Answer::Consistent;
        loop {
            let (got, _) = rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
            for (kind, flags, payload) in messages(&buffer[..got]) {
                if flags & DUMP_INTERRUPTED != 0 {
                    answer = Answer::Interrupted;
                }
                match kind {
                    DONE => return Ok(answer),
                    ERROR => return Err(refusal(payload)),
                    _ => take(kind, payload),
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Consistent,
    /// Something changed while the kernel listed it.
    Interrupted,
}

/// A question for everything of a kind: a message header, and a family of none.
fn request(kind: u16) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[0..4].copy_from_slice(&20_u32.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&REQUEST_DUMP.to_ne_bytes());
    bytes
}

fn refusal(payload: &[u8]) -> io::Error {
    let code = u32_at(payload, 0).map_or(0, |code| code.cast_signed());
    io::Error::from_raw_os_error(code.saturating_neg())
}

/// The messages of a datagram: kind, flags, payload. What is cut off is left out.
fn messages(datagram: &[u8]) -> impl Iterator<Item = (u16, u16, &[u8])> {
    records(datagram, |bytes| {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let payload = bytes.get(16..length)?;
        Some((length, (u16_at(bytes, 4)?, u16_at(bytes, 6)?, payload)))
    })
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    records(bytes, |bytes| {
        let length = usize::from(u16_at(bytes, 0)?);
        // the two highest bits say how the value is made, not what it is
        Some((length, (u16_at(bytes, 2)? & 0x3fff, bytes.get(4..length)?)))
    })
}

/// Records one after the other, each on a boundary of four bytes.
fn records<'a, T>(mut rest: &'a [u8], read: impl Fn(&'a [u8]) -> Option<(usize, T)>) -> impl Iterator<Item = T> {
    std::iter::from_fn(move || {
        let (length, record) = read(rest)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(record)
    })
}

pub(super) fn interface(payload: &[u8]) -> Option<Interface> {
    let name = attributes(payload.get(16..)?).find(|(kind, _)| *kind == LINK_NAME)?.1;
    let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned();
    Some(Interface { index: u32_at(payload, 4)?, name, flags: u32_at(payload, 8)? })
}

pub(super) fn assigned(payload: &[u8]) -> Option<Assigned> {
    let (mut near, mut far, mut flags) = (None, None, u32::from(*payload.get(2)?));
    for (kind, value) in attributes(payload.get(8..)?) {
        match kind {
            // on a point-to-point interface this one is the other end's
            ADDRESS_ADDRESS => far = address(value),
            ADDRESS_LOCAL => near = address(value),
            ADDRESS_FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(Assigned { interface: u32_at(payload, 4)?, address: near.or(far)?, flags })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
