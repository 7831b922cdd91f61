//! Two networks: the mesh is in one of them, services are in both. Nothing of the mesh goes by the other one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};

use super::stands::Stands;
use super::{images, is_possible, sample};

/// How long the thread takes to see that nobody wants to know any more.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Where agents answer how they are, on every address.
const HEALTH: u16 = 9464;

/// ETH_P_ALL, ETH_P_IP, ETH_P_ARP and ETH_P_IPV6 of include/uapi/linux/if_ether.h.
const ALL: u16 = 0x0003;
const IP: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// What a frame is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Frame {
    Tcp(u16, u16),
    Udp(u16, u16),
    /// Who has this address?
    Arp,
    /// The same for IPv6, and who listens to what.
    Neighbours,
    Other(u16),
}

/// Hardware addresses of its two ends, and what it is.
type Seen = BTreeMap<([u8; 6], [u8; 6], Frame), u64>;

/// A thread that lives in the network of a container, and hears every frame of its interfaces.
struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Capture {
    fn of(process: &str) -> Self {
        let network = File::open(format!("/proc/{process}/ns/net")).expect("the container runs");
        let stop = Arc::new(AtomicBool::new(false));
        let (until, (begins, begun)) = (Arc::clone(&stop), std::sync::mpsc::channel());
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("containers need root, too");
            let protocol = Protocol::from(i32::from(ALL.to_be()));
            let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).expect("as above");
            socket.set_read_timeout(Some(LOOK_UP)).expect("a socket has one");
            socket.set_recv_buffer_size(64 * 1024 * 1024).expect("the kernel takes what it may");
            begins.send(()).expect("it is waited for");
            let (mut seen, mut frame) = (Seen::new(), [0; 128]);
            // what came before it was told to stop is in the socket, and is read
            let mut is_quiet = false;
            while !(is_quiet && until.load(Ordering::Relaxed)) {
                is_quiet = false;
                match socket.read(&mut frame) {
                    Ok(length) => {
                        if let Some(read) = read(&frame[..length]) {
                            *seen.entry(read).or_default() += 1;
                        }
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                        is_quiet = true
                    }
                    Err(error) => panic!("listening to the wire: {error}"),
                }
            }
            seen
        });
        begun.recv().expect("it listens");
        Self { stop, thread }
    }

    /// What went by the interface with this hardware address, in either direction, and by the one with that.
    fn stop(self, one: &str, other: &str) -> [BTreeMap<Frame, u64>; 2] {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().expect("it only reads");
        [one, other].map(|hardware| {
            let hardware = bytes(hardware);
            let here = seen.iter().filter(|((to, from, _), _)| *to == hardware || *from == hardware);
            here.fold(BTreeMap::new(), |mut frames, ((_, _, frame), count)| {
                *frames.entry(frame.clone()).or_default() += count;
                frames
            })
        })
    }
}

fn bytes(hardware: &str) -> [u8; 6] {
    let bytes: Vec<u8> = hardware.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect();
    bytes.try_into().expect("six of them")
}

/// None where it is too short to be one.
fn read(frame: &[u8]) -> Option<([u8; 6], [u8; 6], Frame)> {
    let (to, rest) = frame.split_first_chunk()?;
    let (from, rest) = rest.split_first_chunk()?;
    let (kind, packet) = rest.split_first_chunk()?;
    let what = match u16::from_be_bytes(*kind) {
        IP => inside(packet).unwrap_or(Frame::Other(IP)),
        ARP => Frame::Arp,
        // ICMPv6, alone or behind the header with which it begins when it says who listens to what
        IPV6 if matches!(packet.get(6), Some(0 | 58)) => Frame::Neighbours,
        other => Frame::Other(other),
    };
    Some((*to, *from, what))
}

fn inside(packet: &[u8]) -> Option<Frame> {
    let payload = packet.get(usize::from(packet.first()? & 0x0f) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*payload.get(at)?, *payload.get(at + 1)?]));
    let (from, to) = (port(0)?, port(2)?);
    match packet.get(9)? {
        6 => Some(Frame::Tcp(from, to)),
        17 => Some(Frame::Udp(from, to)),
        _ => None,
    }
}

#[test]
fn on_the_network_of_services_nothing_of_the_mesh_is_seen() {
    if !is_possible() {
        return;
    }
    images();
    let stands = Stands::apart("a", 92, 91);
    let data = stands.data.as_ref().expect("it was asked for");
    let hardware = |network| stands.yard.hardware("ledger", network);
    let (control_end, data_end) = (hardware(&stands.control), hardware(data));
    let capture = Capture::of(&stands.yard.process("ledger"));
    stands.town.done(&stands.run(&sample(), "sample"));
    // somebody else's, so that it is seen that something would have been seen
    let address = format!("{}:{HEALTH}", data.address(3)).parse().expect("an address");
    TcpStream::connect_timeout(&address, crate::process::PATIENCE).expect("the agent answers how it is");
    let [control, data] = capture.stop(&control_end, &data_end);
    let probe = |frame: &Frame| matches!(frame, Frame::Tcp(from, to) if [*from, *to].contains(&HEALTH));
    assert!(data.keys().any(probe), "{data:?}");
    let foreign = data.keys().filter(|frame| !probe(frame) && !matches!(frame, Frame::Arp | Frame::Neighbours));
    assert_eq!(foreign.collect::<Vec<_>>(), Vec::<&Frame>::new(), "{data:?}");
    let is_mesh = |frame: &Frame| matches!(frame, Frame::Udp(..));
    assert!(
        control.iter().filter(|(frame, _)| is_mesh(frame)).map(|(_, count)| count).sum::<u64>() > 100,
        "{control:?}"
    );
}
