//! UDP sockets as a WebRTC connection needs them: large kernel buffers, whose real size is read back, and a memory
//! of whom a socket has spoken to.
//!
//! The kernel caps a buffer request without a word, and a burst larger than what took effect dies in the kernel; so
//! the SCTP receive window is derived from what was read back, never from what was asked for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, OnceLock, PoisonError};

use socket2::SockRef;

/// Asked for each way; above this larger buffers brought no more speed.
pub(crate) const WANTED_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The window may fill at most this share of the receive buffer: the kernel counts its own bookkeeping per datagram
/// in the same buffer, so a fuller one drops bursts.
const WINDOW_PERCENT: usize = 45;

/// Used when not even a probing socket could be had: what the usual 208 KiB default of Linux allows.
const FALLBACK_WINDOW_BYTES: usize = 192 * 1024;

/// No more than this, however large the buffer: a connection may hold a whole window in memory.
const MAX_WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// More addresses than ICE candidates and TURN servers of one connection ever have.
const MAX_CORRESPONDENTS: usize = 64;

/// What the kernel granted, in bytes, its own bookkeeping included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buffers {
    pub(crate) receive: usize,
    pub(crate) send: usize,
}

/// Asks for buffers of that size both ways, as every process may, and reads back what took effect.
pub(crate) fn resize(socket: &UdpSocket, wanted: usize) -> io::Result<Buffers> {
    let socket = SockRef::from(socket);
    // Refusal is not an error: the socket then keeps its default, and that is what is read back.
    let _ = socket.set_recv_buffer_size(wanted);
    let _ = socket.set_send_buffer_size(wanted);
    Ok(Buffers { receive: socket.recv_buffer_size()?, send: socket.send_buffer_size()? })
}

/// The largest SCTP receive window, in bytes, that sockets carry which ask for the usual buffers. Probed once.
pub(crate) fn receive_window() -> u32 {
    static WINDOW: OnceLock<u32> = OnceLock::new();
    *WINDOW.get_or_init(|| receive_window_of(WANTED_BUFFER_BYTES))
}

/// The same for sockets that ask for so much.
pub(crate) fn receive_window_of(wanted: usize) -> u32 {
    let window = probe(wanted).map_or(FALLBACK_WINDOW_BYTES, |buffers| {
        tracing::debug!(buffers.receive, buffers.send, "UDP socket buffers");
        buffers.receive * WINDOW_PERCENT / 100
    });
    u32::try_from(window.min(MAX_WINDOW_BYTES)).expect("the cap fits 32 bits")
}

fn probe(wanted: usize) -> io::Result<Buffers> {
    resize(&UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, wanted)
}

/// The addresses a socket has sent to, the latest first.
///
/// ICE sends to a candidate before anything but ICE may come from it, so a datagram that is not STUN and comes from
/// anywhere else was injected. (STUN itself is authenticated by the ICE credentials.) This follows nomination,
/// peer-reflexive addresses and TURN servers without being told about them.
#[derive(Debug, Default)]
pub(crate) struct Correspondents(Mutex<Vec<(IpAddr, u16)>>);

impl Correspondents {
    pub(crate) fn sent_to(&self, address: SocketAddr) {
        let key = (address.ip(), address.port());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.iter().position(|entry| *entry == key) {
            Some(0) => {}
            Some(position) => known.swap(0, position),
            None => {
                known.insert(0, key);
                known.truncate(MAX_CORRESPONDENTS);
            }
        }
    }

    /// Whether a datagram that begins with `first` and came from `source` may reach the stack.
    pub(crate) fn admits(&self, source: SocketAddr, first: Option<&u8>) -> bool {
        // RFC 7983: 0 to 3 is STUN.
        if first.is_some_and(|byte| *byte <= 3) {
            return true;
        }
        let key = (source.ip(), source.port());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DTLS: u8 = 22;
    const STUN: u8 = 0;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    #[test]
    fn a_datagram_from_an_address_never_spoken_to_is_refused() {
        let known = Correspondents::default();
        known.sent_to(address(1));
        assert!(known.admits(address(1), Some(&DTLS)));
        assert!(!known.admits(address(2), Some(&DTLS)));
        assert!(!known.admits(address(2), None));
    }

    #[test]
    fn stun_is_admitted_from_everywhere() {
        assert!(Correspondents::default().admits(address(9), Some(&STUN)));
    }

    #[test]
    fn an_address_in_use_is_never_forgotten() {
        let known = Correspondents::default();
        for port in 2..1000 {
            known.sent_to(address(1));
            known.sent_to(address(port));
        }
        assert!(known.admits(address(1), Some(&DTLS)));
        assert!(!known.admits(address(2), Some(&DTLS)), "the table is bounded");
    }

    #[test]
    fn the_window_fits_the_buffer_that_took_effect() {
        for wanted in [WANTED_BUFFER_BYTES, 100_000] {
            let buffers = probe(wanted).expect("loopback can be bound");
            let window = usize::try_from(receive_window_of(wanted)).expect("32 bits fit");
            assert!(window * 100 <= buffers.receive * WINDOW_PERCENT, "{wanted}: {buffers:?}");
        }
    }

    #[test]
    fn a_socket_that_asks_for_less_has_less() {
        let (usual, small) = (probe(WANTED_BUFFER_BYTES), probe(100_000));
        let (usual, small) = (usual.expect("loopback can be bound"), small.expect("loopback can be bound"));
        // the kernel doubles what is asked for, for its own bookkeeping
        assert_eq!(small, Buffers { receive: 200_000, send: 200_000 });
        assert!(usual.receive > small.receive && usual.send > small.send, "{usual:?}");
    }
}
