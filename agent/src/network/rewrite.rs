//! IPv4 packets that are made or changed here, with their checksums. Pure.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::packet::{HEADER_BYTES, Header, TCP, UDP};

const TCP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;

const ICMP: u8 = 1;
const ICMP_BYTES: usize = 8;
const ECHO_REQUEST: u8 = 8;
const UNREACHABLE: u8 = 3;
const PROHIBITED: u8 = 13;

const RST_ACK: u8 = 0x14;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Where a TCP or UDP packet comes from and goes to. `None`: it is neither, or a piece of one.
pub(super) fn ends(packet: &[u8]) -> Option<(u8, SocketAddrV4, SocketAddrV4)> {
    let header = Header::of(packet)?;
    let fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff;
    let ports = header.ports(packet)?;
    (fragment == 0).then(|| {
        let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
        let (source, destination) = (header.source, header.destination);
        (header.protocol, SocketAddrV4::new(source, port(0)), SocketAddrV4::new(destination, port(2)))
    })
}

/// Whether a TCP packet opens a connection.
pub(super) fn is_opening(packet: &[u8]) -> bool {
    let flags = Header::of(packet).and_then(|header| packet.get(header.length + 13));
    flags.is_some_and(|flags| flags & (SYN | ACK) == SYN)
}

/// What a UDP packet carries.
pub(super) fn payload_of_datagram(packet: &[u8]) -> Option<&[u8]> {
    packet.get(Header::of(packet)?.length + UDP_BYTES..)
}

/// The same packet from another place to another place.
pub(super) fn redirected(packet: &[u8], from: SocketAddrV4, to: SocketAddrV4) -> Option<Vec<u8>> {
    let header = Header::of(packet)?;
    let mut packet = packet.to_vec();
    packet[12..16].copy_from_slice(&from.ip().octets());
    packet[16..20].copy_from_slice(&to.ip().octets());
    let ports = packet.get_mut(header.length..header.length + 4)?;
    ports[..2].copy_from_slice(&from.port().to_be_bytes());
    ports[2..].copy_from_slice(&to.port().to_be_bytes());
    seal(&mut packet, header.length)?;
    Some(packet)
}

/// A datagram.
pub(super) fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Option<Vec<u8>> {
    let mut packet = ip(UDP, (*from.ip(), *to.ip()), UDP_BYTES + payload.len())?;
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(u16::try_from(UDP_BYTES + payload.len()).ok()?.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    seal(&mut packet, HEADER_BYTES)?;
    Some(packet)
}

/// The refusal of the connection that this packet opens.
pub(super) fn refusal(opening: &[u8]) -> Option<Vec<u8>> {
    let (_, from, to) = ends(opening)?;
    let at = Header::of(opening)?.length + 4;
    let sequence = u32::from_be_bytes(opening.get(at..at + 4)?.try_into().ok()?);
    let mut packet = ip(TCP, (*to.ip(), *from.ip()), TCP_BYTES)?;
    packet.extend(to.port().to_be_bytes());
    packet.extend(from.port().to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(sequence.wrapping_add(1).to_be_bytes());
    packet.extend([u8::try_from(TCP_BYTES / 4 * 16).ok()?, RST_ACK]);
    packet.extend([0; 6]);
    seal(&mut packet, HEADER_BYTES)?;
    Some(packet)
}

/// What tells the sender of a packet that it may not send it: ICMP's "communication administratively prohibited" (RFC 1812, 5.2.7.1).
pub(super) fn prohibited(packet: &[u8]) -> Option<Vec<u8>> {
    let header = Header::of(packet)?;
    // errors about errors are never sent (RFC 1122, 3.2.2)
    let is_request = header.protocol != ICMP || packet.get(header.length) == Some(&ECHO_REQUEST);
    let quoted = packet.get(..packet.len().min(header.length + 8)).filter(|_| is_request)?;
    let mut answer = ip(ICMP, (header.destination, header.source), ICMP_BYTES + quoted.len())?;
    answer.extend([UNREACHABLE, PROHIBITED, 0, 0, 0, 0, 0, 0]);
    answer.extend(quoted);
    seal(&mut answer, HEADER_BYTES)?;
    Some(answer)
}

fn ip(protocol: u8, (from, to): (Ipv4Addr, Ipv4Addr), payload: usize) -> Option<Vec<u8>> {
    let total = u16::try_from(HEADER_BYTES + payload).ok()?.to_be_bytes();
    let mut packet = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    Some(packet)
}

/// Sets the checksums of the header and of what is behind it.
fn seal(packet: &mut [u8], header: usize) -> Option<()> {
    packet[10..12].fill(0);
    let sealed = checksum(sum(&packet[..header])).to_be_bytes();
    packet[10..12].copy_from_slice(&sealed);
    let protocol = packet[9];
    let at = match protocol {
        TCP => 16,
        ICMP => 2,
        _ => 6,
    };
    let at = header + at;
    packet.get_mut(at..at + 2)?.fill(0);
    let length = u32::try_from(packet.len() - header).ok()?;
    let pseudo = if protocol == ICMP { 0 } else { sum_of_pseudo_header(packet, length) };
    let behind = pseudo + sum(&packet[header..]);
    let sealed = match checksum(behind) {
        // of UDP, zero says that there is none
        0 if protocol == UDP => u16::MAX,
        sum => sum,
    };
    packet.get_mut(at..at + 2)?.copy_from_slice(&sealed.to_be_bytes());
    Some(())
}

fn sum_of_pseudo_header(packet: &[u8], length: u32) -> u32 {
    sum(&packet[12..20]) + u32::from(packet[9]) + length
}

fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default());
    bytes.chunks(2).map(word).sum()
}

fn checksum(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, last), port)
    }

    /// With its checksums in place everything sums up to nothing.
    fn is_sealed(packet: &[u8]) -> bool {
        let behind = sum_of_pseudo_header(packet, u32::try_from(packet.len() - HEADER_BYTES).expect("short"));
        checksum(sum(&packet[..HEADER_BYTES])) == 0 && checksum(behind + sum(&packet[HEADER_BYTES..])) == 0
    }

    #[test]
    fn what_is_made_and_what_is_changed_has_good_checksums() {
        for payload in [&b""[..], b"odd", b"even"] {
            let packet = datagram(at(1, 1000), at(2, 53), payload).expect("it is short");
            assert!(is_sealed(&packet));
            assert_eq!(ends(&packet), Some((UDP, at(1, 1000), at(2, 53))));
            let other = redirected(&packet, at(3, 7), at(4, 8)).expect("a datagram");
            assert!(is_sealed(&other));
            assert_eq!(ends(&other), Some((UDP, at(3, 7), at(4, 8))));
            assert_eq!(other[HEADER_BYTES + UDP_BYTES..], *payload);
        }
        assert_eq!(datagram(at(1, 1), at(2, 2), &[0; 65_536]), None);
    }

    #[test]
    fn a_connection_is_refused_at_the_number_after_its_own() {
        let mut opening = ip(TCP, (*at(1, 0).ip(), *at(2, 0).ip()), TCP_BYTES).expect("short");
        opening.extend([0x03, 0xe8, 0, 80, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x50, SYN, 0, 0, 0, 0, 0, 0]);
        assert!(is_opening(&opening));
        let refused = refusal(&opening).expect("an opening");
        assert_eq!(ends(&refused), Some((TCP, at(2, 80), at(1, 1000))));
        assert!(is_sealed(&refused) && !is_opening(&refused));
        assert_eq!(refused[HEADER_BYTES + 8..HEADER_BYTES + 12], [0, 0, 0, 0]);
    }

    #[test]
    fn who_may_not_send_is_told_with_the_beginning_of_what_it_sent_and_never_about_an_error() {
        let packet = datagram(at(1, 1000), at(2, 53), b"a question").expect("short");
        let answer = prohibited(&packet).expect("a packet");
        let header = Header::of(&answer).expect("a packet");
        assert_eq!((header.source, header.destination), (*at(2, 0).ip(), *at(1, 0).ip()));
        assert_eq!(answer[HEADER_BYTES..HEADER_BYTES + 2], [UNREACHABLE, PROHIBITED]);
        assert_eq!(answer[HEADER_BYTES + ICMP_BYTES..], packet[..HEADER_BYTES + 8]);
        assert_eq!(checksum(sum(&answer[..HEADER_BYTES])), 0);
        assert_eq!(checksum(sum(&answer[HEADER_BYTES..])), 0, "of ICMP there is no header beside it");
        assert_eq!(prohibited(&answer), None);
        assert_eq!(prohibited(b"no packet"), None);
    }

    #[test]
    fn a_piece_of_a_packet_has_no_ends() {
        let mut packet = datagram(at(1, 1), at(2, 2), b"x").expect("short");
        packet[6] = 0x20;
        assert_eq!(ends(&packet), None);
    }
}
