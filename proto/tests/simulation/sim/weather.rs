//! What a seed makes of the world: how bad the network is, and which faults come when.

use std::time::Duration;

use super::luck::Luck;

/// What goes wrong by chance, in so many of a thousand cases, until the world calms down.
#[derive(Debug)]
pub struct Weather {
    pub signal_lost: u64,
    pub signal_twice: u64,
    pub signal_slow: u64,
    pub making_fails: u64,
    pub making_slow: u64,
    pub handshake_fails: u64,
    pub handshake_half: u64,
    pub handshake_slow: u64,
    /// The notice of a close does not come.
    pub notice_lost: u64,
    /// The other side lies about a stream.
    pub lies: u64,
    pub latency_ms: u64,
    /// Between a connection and the task that owns its link.
    pub queue_ms: u64,
}

impl Weather {
    pub fn of(luck: &mut Luck) -> Self {
        let mut badness = [0; 9];
        for chance in &mut badness {
            *chance = if luck.chance(400) { luck.below(300) } else { 0 };
        }
        let [signal_lost, signal_twice, signal_slow, making_fails, making_slow, fails, half, slow, notice] = badness;
        Self {
            signal_lost,
            signal_twice,
            signal_slow,
            making_fails: making_fails / 2,
            making_slow: making_slow / 2,
            handshake_fails: fails,
            handshake_half: half / 2,
            handshake_slow: slow,
            notice_lost: notice * 3,
            lies: 100,
            latency_ms: 1 + luck.below(100),
            queue_ms: if luck.chance(400) { luck.below(300) } else { 1 },
        }
    }

    /// Faults have ended.
    pub fn calm(&mut self) {
        let (lies, latency_ms, queue_ms, notice_lost) = (self.lies, self.latency_ms, self.queue_ms, self.notice_lost);
        *self = Self {
            signal_lost: 0,
            signal_twice: 0,
            signal_slow: 0,
            making_fails: 0,
            making_slow: 0,
            handshake_fails: 0,
            handshake_half: 0,
            handshake_slow: 0,
            notice_lost,
            lies,
            latency_ms,
            queue_ms,
        };
    }
}

/// A fault of the world. Nodes are numbers, links are pairs of them.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Packets from one node to another do not pass.
    Cut {
        from: usize,
        to: usize,
        time: Duration,
    },
    /// The same in both directions.
    CutBoth {
        nodes: [usize; 2],
        time: Duration,
    },
    SignalingAway {
        time: Duration,
    },
    /// Signaling goes and does not come back.
    SignalingGone,
    /// The present connection loses everything that goes from that node to the other, for good.
    Silence {
        from: usize,
        to: usize,
        kind: usize,
    },
    /// The present connection ends at that node; the other may hear of it.
    Break {
        at: usize,
        other: usize,
        kind: usize,
    },
    /// Connections of the link break or fall silent as soon as they are open.
    Flap {
        nodes: [usize; 2],
        time: Duration,
    },
    /// A process stands still and goes on later.
    Pause {
        node: usize,
        time: Duration,
    },
    /// A process dies; a new instance comes later.
    Kill {
        node: usize,
        time: Duration,
    },
    /// A node drops the link, and wants it again later.
    Leave {
        node: usize,
        other: usize,
        time: Duration,
    },
    /// A node forgets the link and begins it anew with the same key.
    Forget {
        node: usize,
        other: usize,
    },
    /// A node asks above a generation that no honest one can have seen.
    Boast {
        node: usize,
        other: usize,
    },
}

/// How many nodes a world has, and how many kinds of connection its links have.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub nodes: usize,
    pub kinds: usize,
}

/// The faults of a seed, sorted by time, and when they are over.
pub fn faults(luck: &mut Luck, size: Size) -> (Vec<(Duration, Fault)>, Duration) {
    let span = if luck.chance(40) { luck.ms(40_000, 80_000) } else { luck.ms(1_000, 15_000) };
    let span_ms = span.as_millis() as u64;
    let mut faults: Vec<(Duration, Fault)> = (0..luck.below(8))
        .map(|_| {
            let at = luck.ms(0, span_ms);
            (at, fault(luck, size))
        })
        .collect();
    faults.sort_by_key(|(at, _)| *at);
    (faults, span)
}

/// The faults of a world whose signaling goes for good: from then on they strike the link of the first two nodes only, which
/// the third can help.
pub fn faults_without_signaling(luck: &mut Luck, kinds: usize) -> (Vec<(Duration, Fault)>, Duration) {
    let gone = luck.ms(3_000, 9_000);
    let span = gone + luck.ms(1_000, 15_000);
    let mut faults = vec![(gone, Fault::SignalingGone)];
    for _ in 0..1 + luck.below(5) {
        let at = gone + luck.ms(0, (span - gone).as_millis() as u64);
        let fault = fault(luck, Size { nodes: 2, kinds });
        if !matches!(fault, Fault::SignalingAway { .. } | Fault::Pause { .. } | Fault::Kill { .. }) {
            faults.push((at, fault));
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    (faults, span)
}

fn fault(luck: &mut Luck, Size { nodes, kinds }: Size) -> Fault {
    let node = luck.index(nodes);
    let other = (node + 1 + luck.index(nodes - 1)) % nodes;
    let kind = luck.index(kinds);
    let time = match luck.below(10) {
        0 => luck.ms(25_000, 45_000),
        1..4 => luck.ms(3_000, 12_000),
        _ => luck.ms(50, 3_000),
    };
    match luck.below(17) {
        0..3 => Fault::Cut { from: node, to: other, time },
        3..6 => Fault::CutBoth { nodes: [node, other], time },
        6..8 => Fault::SignalingAway { time },
        8 => Fault::Silence { from: node, to: other, kind },
        9..11 => Fault::Break { at: node, other, kind },
        11 => Fault::Flap { nodes: [node, other], time: time.min(Duration::from_secs(10)) },
        12 => Fault::Pause { node, time },
        13 => Fault::Kill { node, time: time.min(Duration::from_secs(5)) },
        14 => Fault::Leave { node, other, time: time.min(Duration::from_secs(8)) },
        15 => Fault::Forget { node, other },
        _ => Fault::Boast { node, other },
    }
}
