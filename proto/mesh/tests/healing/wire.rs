//! What the scenarios tell the processes (JSON lines on their standard input) and what these tell back (on standard output).

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Who plays what; given to a process in its environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Part {
    /// A peer of the mesh.
    Peer { name: String, ways: Ways },
    /// Several peers in one process: `agent-FIRST` and the following.
    Crowd { first: u8, count: u8, signaling: String, address: IpAddr },
    /// The real signaling server.
    Signaling { listen: String },
    /// A service that accepts one TCP connection.
    Service,
    /// Whoever uses it, through a tunnel on this port.
    Customer { port: u16 },
    /// Tells the addresses of its namespace.
    Watcher,
    /// Does nothing, in so many threads, as fast as it can.
    Spinner { threads: usize },
}

/// What a peer is told of the ways to others.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ways {
    pub signaling: Vec<String>,
    /// A TURN server, `turn:host:port`.
    pub turn: Option<String>,
    /// The only way to signaling.
    pub proxy: Option<String>,
}

impl Ways {
    /// Straight to one signaling server, and to others as the network allows.
    pub fn by(signaling: &str) -> Self {
        Self { signaling: vec![signaling.to_owned()], ..Self::default() }
    }
}

/// What a process is told to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Command {
    /// Peer: wants a link to whoever has this name, now and later.
    Connect { to: String },
    /// Peer: leads TCP connections to a port beside the other peer.
    Tunnel { to: String, port: u16 },
    /// Peer: calls once; the other side answers after a while.
    Call { to: String, id: u64, answered_after: Duration },
    /// Peer: sends a few bytes forth and back, in a call and in a stream of its own, until they arrive.
    Echo { to: String, id: u64 },
    /// Service and customer: how much it has said and heard by now.
    Count,
    /// Service and customer: tells when it has heard more than so many bytes.
    HearBeyond { bytes: u64 },
    /// Customer: says no more, and reads to the end.
    Finish,
}

/// Something that happened, by the clock that all processes of this machine share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    pub at: Moment,
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The process does its part from here on.
    Started,
    /// A port was taken: a service's, or a tunnel's.
    Listening {
        port: u16,
    },
    SignalingUp {
        name: String,
    },
    SignalingDown {
        name: String,
    },
    Joined {
        name: String,
    },
    Up {
        name: String,
        instance: String,
        generation: u64,
        path: Path,
    },
    Suspect {
        name: String,
        instance: String,
        reason: String,
    },
    Lost {
        name: String,
        instance: String,
        reason: String,
    },
    /// A call began to run here.
    Executing {
        id: u64,
    },
    Called {
        id: u64,
        outcome: Outcome,
    },
    Echoed {
        id: u64,
        by: Way,
    },
    EchoFailed {
        id: u64,
        reason: String,
    },
    /// The service or its customer has read its first bytes.
    Heard,
    Counted(Counted),
    /// More than that was heard, in answer to [`Command::HearBeyond`].
    HeardBeyond {
        bytes: u64,
    },
    Talked(Talked),
    Addresses {
        addresses: Vec<IpAddr>,
    },
}

/// How a link's datagrams travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Path {
    Direct,
    Turn,
    Relayed,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Answered,
    Failed { may_have_happened: bool, error: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    Call,
    Stream,
}

/// Bytes of one side of a TCP connection until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// A piece that it is about to say included.
    pub said: u64,
    pub heard: u64,
}

/// What one side of a TCP connection wrote and read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talked {
    pub sent: u64,
    pub received: u64,
    /// Why it ended, if not by the end of both sides' words.
    pub fault: Option<String>,
}

/// A reading of CLOCK_MONOTONIC, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(u64);

impl Moment {
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let whole = Duration::new(u64::try_from(now.tv_sec).expect("since boot"), 0);
        let nanos = whole.as_nanos() as u64 + u64::try_from(now.tv_nsec).expect("below a second");
        Self(nanos)
    }

    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Tells the scenario. Lines of several tasks do not mix.
pub fn say(event: Event) {
    use std::io::Write;
    let line = Line { at: Moment::now(), event };
    let text = serde_json::to_string(&line).expect("events are plain data");
    let mut out = std::io::stdout().lock();
    // a scenario that is gone is noticed by the end of standard input
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// The commands of the scenario; they end when it does.
pub fn commands() -> tokio::sync::mpsc::Receiver<Command> {
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            let command = serde_json::from_str(&line).expect("the scenario is this very program");
            if sender.blocking_send(command).is_err() {
                return;
            }
        }
    });
    receiver
}
