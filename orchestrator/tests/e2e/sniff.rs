//! Packets on their way: every UDP datagram over IPv4 that this machine sees, while somebody wants to know.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Type};

/// How long the thread takes to see that nobody wants to know any more.
const LOOK_UP: Duration = Duration::from_millis(50);

/// From include/uapi/linux/if_ether.h and in.h of Linux.
const ETH_P_IP: u16 = 0x0800;
const IPPROTO_UDP: u8 = 17;

/// Source and destination port.
pub type Way = (u16, u16);

/// The first three bytes of datagrams, and how many began like that.
pub type Beginnings = BTreeMap<[u8; 3], u64>;

/// A thread that listens to the wire.
pub struct Sniffer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<Way, Beginnings>>,
}

impl Sniffer {
    /// `Err` with the reason where this machine does not permit it.
    pub fn start() -> Result<Self, std::io::Error> {
        let protocol = Protocol::from(i32::from(ETH_P_IP.to_be()));
        let mut socket = socket2::Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
        socket.set_read_timeout(Some(LOOK_UP))?;
        // What does not fit is lost, and nothing here needs every packet.
        socket.set_recv_buffer_size(8 * 1024 * 1024)?;
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen: BTreeMap<Way, Beginnings> = BTreeMap::new();
            let mut packet = [0; 128];
            while !until.load(Ordering::Relaxed) {
                match socket.read(&mut packet) {
                    Ok(length) => {
                        if let Some((way, beginning)) = datagram(&packet[..length]) {
                            *seen.entry(way).or_default().entry(beginning).or_default() += 1;
                        }
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                    Err(error) => panic!("listening to the wire: {error}"),
                }
            }
            seen
        });
        Ok(Self { stop, thread })
    }

    pub fn stop(self) -> BTreeMap<Way, Beginnings> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only reads")
    }
}

/// The ports and the first bytes of a UDP datagram in an IPv4 packet.
fn datagram(packet: &[u8]) -> Option<(Way, [u8; 3])> {
    let first = *packet.first()?;
    if first >> 4 != 4 || *packet.get(9)? != IPPROTO_UDP {
        return None;
    }
    let udp = packet.get(usize::from(first & 0x0f) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*udp.get(at)?, *udp.get(at + 1)?]));
    let beginning = udp.get(8..11)?.try_into().ok()?;
    Some(((port(0)?, port(2)?), beginning))
}
