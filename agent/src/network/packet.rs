//! What is looked at of an IPv4 packet. Pure.

use std::net::Ipv4Addr;

/// The shortest header.
pub(super) const HEADER_BYTES: usize = 20;

/// The protocols whose packets begin with their ports.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// A packet that can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    /// Where the payload begins.
    pub length: usize,
}

impl Header {
    /// `None`: it is no whole IPv4 packet.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<HEADER_BYTES>()?;
        let (version, length) = (header[0] >> 4, usize::from(header[0] & 15) * 4);
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
        let whole = version == 4 && length >= HEADER_BYTES && total == packet.len() && length <= total;
        whole.then(|| Self { source: address(12), destination: address(16), protocol: header[9], length })
    }

    /// The two ports of its packet, as they stand there. `None`: it has none.
    pub(super) fn ports(&self, packet: &[u8]) -> Option<[u8; 4]> {
        let ports = packet.get(self.length..)?.first_chunk().copied();
        ports.filter(|_| [TCP, UDP].contains(&self.protocol))
    }

    /// A number for everything that goes between two ports.
    pub(crate) fn flow(&self, packet: &[u8]) -> u64 {
        let [a, b, c, d] = self.ports(packet).unwrap_or_default();
        u64::from_be_bytes([0, 0, 0, self.protocol, a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo request from 198.18.0.1 to 198.18.0.2.
    const ECHO: [u8; 28] =
        [0x45, 0, 0, 28, 0, 1, 0x40, 0, 64, 1, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2, 8, 0, 0, 0, 0, 1, 0, 1];

    #[test]
    fn a_whole_packet_is_read_and_anything_else_is_none() {
        let header = Header::of(&ECHO).expect("a packet");
        assert_eq!((header.source, header.destination), (Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2)));
        assert_eq!((header.protocol, header.length), (1, 20));
        for length in 0..ECHO.len() {
            assert_eq!(Header::of(&ECHO[..length]), None, "cut to {length}");
        }
        let changed = |at: usize, to: u8| {
            let mut packet = ECHO;
            packet[at] = to;
            Header::of(&packet)
        };
        assert_eq!(changed(0, 0x65), None, "version 6");
        assert_eq!(changed(0, 0x44), None, "a header that is too short");
        assert_eq!(changed(0, 0x4f), None, "a header that is longer than the packet");
        assert_eq!(changed(3, 29), None, "less than it says");
    }

    #[test]
    fn flows_are_told_apart_by_their_ports() {
        let mut tcp = ECHO;
        tcp[9] = 6;
        let mut other = tcp;
        other[23] = 9;
        let flow = |packet: &[u8]| Header::of(packet).map(|header| header.flow(packet));
        assert_ne!(flow(&tcp), flow(&other));
        assert_ne!(flow(&tcp), flow(&ECHO));
        assert_eq!(flow(&ECHO), flow(&ECHO));
        assert_eq!(flow(b"no packet"), None);
    }
}
