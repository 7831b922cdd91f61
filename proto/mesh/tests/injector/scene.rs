//! Handshakes while somebody who is on neither side, and not between them, sends to their sockets.
//!
//! A stranger has addresses of its own. A forger writes the other side's address into its datagrams, which only a network that does not
//! look where things come from lets it do, and which takes knowing both ports.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meshproof_mesh::rtc::{ChannelSpec, Connection, Reliability, RtcConfig, RtcEvent};
use meshproof_proto::seed::Seed;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::forged::Forger;

/// What is asked of the mesh is that it stands this many a second.
pub const PACKETS_PER_SECOND: u32 = 1_000;

/// A handshake that takes longer does not count.
pub const WITHIN: Duration = Duration::from_secs(5);

/// So many have arrived at the sockets before the peers hear of each other, so that the whole handshake is under fire.
const BEFORE: u64 = 20;

const CHANNELS: &[ChannelSpec] = &[ChannelSpec { id: 0, label: "control", reliability: Reliability::ReliableOrdered }];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Stranger,
    Forger,
}

/// What came of it.
pub struct Seen {
    /// How long each handshake took; `None`: longer than [`WITHIN`].
    pub took: Vec<Option<Duration>>,
    pub packets: u64,
    /// How long there was somebody to fire at.
    pub fired: Duration,
}

impl Seen {
    pub fn in_time(&self) -> usize {
        self.took.iter().flatten().count()
    }

    pub fn longest(&self) -> Duration {
        self.took.iter().map(|took| took.unwrap_or(WITHIN)).max().unwrap_or_default()
    }

    pub fn packets_per_second(&self) -> f64 {
        self.packets as f64 / self.fired.as_secs_f64()
    }
}

/// Who is fired at, and whom the other side of it would be.
type Aims = Arc<Mutex<Vec<(SocketAddr, SocketAddr)>>>;

/// So many handshakes, one after the other.
pub async fn under_fire(handshakes: usize, from: From, seed: u64) -> std::io::Result<Seen> {
    let (aims, sent) = (Aims::default(), watch::Sender::new(0));
    let guns = Guns::new(from)?;
    let firing = fire(guns, Arc::clone(&aims), sent.clone(), Seed::new(seed));
    let _firing = AbortOnDropHandle::new(tokio::spawn(firing));
    let mut seen = Seen { took: Vec::new(), packets: 0, fired: Duration::ZERO };
    for _ in 0..handshakes {
        let (took, fired) = handshake(&aims, &sent).await;
        seen.took.push(took);
        seen.fired += fired;
    }
    seen.packets = *sent.borrow();
    Ok(seen)
}

/// How long it took, and how long it was fired at.
async fn handshake(aims: &Aims, sent: &watch::Sender<u64>) -> (Option<Duration>, Duration) {
    let config = RtcConfig { addresses: vec![Ipv4Addr::LOCALHOST.into()], ..RtcConfig::default() };
    let (mut left, offer) = Connection::offer(&config, CHANNELS).await.expect("an offer");
    let (mut right, answer) = Connection::answer(&config, CHANNELS, &offer).await.expect("an answer");
    let pairs = |one: &Connection, other: &Connection| {
        let other = other.local_sockets()[0];
        one.local_sockets().iter().map(move |socket| (*socket, other)).collect::<Vec<_>>()
    };
    let aimed = Instant::now();
    *aims.lock().expect("ours") = [pairs(&left, &right), pairs(&right, &left)].concat();
    let mut count = sent.subscribe();
    let enough = *count.borrow_and_update() + BEFORE;
    count.wait_for(|count| *count >= enough).await.expect("ours");
    let began = Instant::now();
    let opening = async {
        left.accept_answer(&answer).await.expect("the answer fits");
        tokio::join!(left.next_event(), right.next_event())
    };
    let opened = timeout(WITHIN, opening).await;
    let took = matches!(opened, Ok((Some(RtcEvent::Open), Some(RtcEvent::Open)))).then(|| began.elapsed());
    aims.lock().expect("ours").clear();
    let fired = aimed.elapsed();
    tokio::join!(left.close(), right.close());
    (took, fired)
}

enum Guns {
    Strangers(Vec<UdpSocket>),
    Forger(Forger),
}

impl Guns {
    fn new(from: From) -> std::io::Result<Self> {
        match from {
            From::Stranger => {
                let bound = (2..10).map(|last| UdpSocket::bind((Ipv4Addr::new(127, 0, 0, last), 0)));
                Ok(Self::Strangers(bound.collect::<Result<_, _>>()?))
            }
            From::Forger => Ok(Self::Forger(Forger::new()?)),
        }
    }

    fn send(&self, datagram: &[u8], number: u64, (to, peer): (SocketAddr, SocketAddr)) -> std::io::Result<()> {
        match self {
            Self::Strangers(sockets) => {
                let socket = &sockets[usize::try_from(number).unwrap_or_default() % sockets.len()];
                socket.send_to(datagram, to).map(drop)
            }
            Self::Forger(forger) => forger.send(datagram, peer, to),
        }
    }
}

/// Fires while there is anybody to fire at. What a closed socket refuses was sent all the same.
async fn fire(guns: Guns, aims: Aims, sent: watch::Sender<u64>, mut seed: Seed) {
    let mut tick = interval(Duration::from_secs(1) / PACKETS_PER_SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        tick.tick().await;
        let aim = {
            let aims = aims.lock().expect("ours");
            aims.get(usize::try_from(number).unwrap_or_default() % aims.len().max(1)).copied()
        };
        if let Some(aim) = aim {
            let _ = guns.send(&datagram(number, &mut seed), number, aim);
            sent.send_modify(|sent| *sent += 1);
        }
    }
}

/// What would end, confuse or occupy a handshake if it were believed.
fn datagram(number: u64, seed: &mut Seed) -> Vec<u8> {
    let noise = |length: usize, seed: &mut Seed| {
        let words = std::iter::repeat_with(|| seed.next_u64().to_le_bytes());
        words.flatten().take(length).collect::<Vec<u8>>()
    };
    let record = |kind: u8, epoch: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).expect("short").to_be_bytes();
        let head = [kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0, length[0], length[1]];
        [&head[..], body].concat()
    };
    let stun = |kind: [u8; 2], seed: &mut Seed| [&kind[..], &[0, 0, 0x21, 0x12, 0xa4, 0x42], &noise(12, seed)].concat();
    match number % 8 {
        0 => record(21, 0, &[2, 40]),
        1 => record(21, 0, &[1, 0]),
        2 => record(20, 0, &[1]),
        3 => {
            let body = noise(64, seed);
            record(22, 0, &[&[1, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 64][..], &body].concat())
        }
        4 => {
            let body = noise(48, seed);
            record(23, 1, &body)
        }
        5 => stun([0, 1], seed),
        6 => stun([1, 1], seed),
        _ => {
            let length = 1 + usize::try_from(seed.below(1200)).expect("small");
            noise(length, seed)
        }
    }
}
