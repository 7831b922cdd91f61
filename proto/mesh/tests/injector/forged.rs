//! Datagrams under another's address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

/// Writes the headers itself, which takes root.
pub struct Forger(OwnedFd);

impl Forger {
    pub fn new() -> io::Result<Self> {
        Ok(Self(socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))?))
    }

    pub fn send(&self, datagram: &[u8], from: SocketAddr, to: SocketAddr) -> io::Result<()> {
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else {
            return Err(io::Error::other("only IPv4 is forged"));
        };
        let length = u16::try_from(8 + datagram.len()).map_err(io::Error::other)?;
        let mut packet = vec![0x45, 0];
        packet.extend((20 + length).to_be_bytes());
        // the kernel fills in the number and the checksum
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        packet.extend(from.ip().octets().into_iter().chain(to.ip().octets()));
        for field in [from.port(), to.port(), length, 0] {
            packet.extend(field.to_be_bytes());
        }
        packet.extend_from_slice(datagram);
        sendto(&self.0, &packet, SendFlags::empty(), &to)?;
        Ok(())
    }
}
