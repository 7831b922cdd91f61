//! The processes of a scenario on its network.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::netns::{self, Host, Network};
use crate::process::Process;
use crate::wire::{Command, Event, Moment, Part, Ways};

/// Where signaling lives.
pub const SIGNALING: Host = ("signaling", 1);

/// Where signaling listens.
const PORT: u16 = 7_000;

/// A network, a signaling server, peers.
#[derive(Debug)]
pub struct World {
    // the processes go before their namespaces do
    peers: BTreeMap<String, Process>,
    signaling: Option<Process>,
    /// Of the hosts that are told more than where signaling is.
    ways: BTreeMap<String, Ways>,
    pub network: Network,
}

/// Where a signaling server of that host is.
pub fn url_on(host: Host) -> String {
    format!("ws://{}:{PORT}/mesh", netns::address(host))
}

impl World {
    /// A network for these hosts and signaling; nobody is there yet.
    pub fn new(hosts: &[Host]) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let all: Vec<Host> = hosts.iter().copied().chain([SIGNALING]).collect();
        let network = Network::new(&NEXT.fetch_add(1, Ordering::Relaxed).to_string(), &all)?;
        Ok(Self { peers: BTreeMap::new(), signaling: None, ways: BTreeMap::new(), network })
    }

    /// Signaling, a peer on each host, and links between all of them.
    pub async fn linked(hosts: &[Host]) -> Result<Self, String> {
        let mut world = Self::new(hosts)?;
        world.start_signaling()?;
        for (name, _) in hosts {
            world.start(name)?;
        }
        for (at, (from, _)) in hosts.iter().enumerate() {
            for (to, _) in &hosts[at + 1..] {
                world.connect(from, to)?;
                world.up((from, to), world.peer_ref(from).started).await?;
            }
        }
        Ok(world)
    }

    pub fn url(&self) -> String {
        url_on(SIGNALING)
    }

    pub fn start_signaling(&mut self) -> Result<(), String> {
        self.signaling = Some(self.signaling_on(SIGNALING)?);
        Ok(())
    }

    /// A signaling server on another host; it is where [`url_on`] says.
    pub fn signaling_on(&self, host: Host) -> Result<Process, String> {
        let listen = format!("{}:{PORT}", netns::address(host));
        self.at(host.0, "signaling", &Part::Signaling { listen })
    }

    /// The signaling server, while there is one.
    pub fn signaling(&self) -> Option<&Process> {
        self.signaling.as_ref()
    }

    pub fn kill_signaling(&mut self) {
        self.signaling = None;
    }

    /// What the peer of a host is told when it is started.
    pub fn ways_of(&mut self, name: &str) -> &mut Ways {
        let usual = Ways::by(&self.url());
        self.ways.entry(name.to_owned()).or_insert(usual)
    }

    /// Starts the peer of a host, or starts it again.
    pub fn start(&mut self, name: &str) -> Result<(), String> {
        let peer = Part::Peer { name: name.to_owned(), ways: self.ways_of(name).clone() };
        let process = self.at(name, name, &peer)?;
        self.peers.insert(name.to_owned(), process);
        Ok(())
    }

    /// Starts something else in a peer's namespace.
    pub fn beside(&self, peer: &str, part: &Part) -> Result<Process, String> {
        self.at(peer, &format!("what is beside {peer}"), part)
    }

    fn at(&self, host: &str, name: &str, part: &Part) -> Result<Process, String> {
        Process::start(name, &self.network.namespace(host), part)
    }

    pub fn peer(&mut self, name: &str) -> &mut Process {
        self.peers.get_mut(name).expect("a peer that was started")
    }

    pub fn peer_ref(&self, name: &str) -> &Process {
        self.peers.get(name).expect("a peer that was started")
    }

    pub fn peers(&self) -> impl Iterator<Item = &Process> {
        self.peers.values()
    }

    /// Ends a peer without a word, and gives what is left of it.
    pub fn kill(&mut self, name: &str) -> Process {
        let mut process = self.peers.remove(name).expect("a peer that was started");
        process.kill();
        process
    }

    /// Has one peer want a link to another, whenever that one is there.
    pub fn connect(&mut self, from: &str, to: &str) -> Result<(), String> {
        self.peer(from).tell(&Command::Connect { to: to.to_owned() })
    }

    /// Waits until both know that they are linked; gives when the later one did.
    pub async fn up(&self, (one, other): (&str, &str), since: Moment) -> Result<Moment, String> {
        let up = |with: &str| {
            let with = with.to_owned();
            move |event: &Event| matches!(event, Event::Up { name, .. } if *name == with).then_some(())
        };
        let (at_one, ()) = self.peer_ref(one).when(since, "that it is linked", up(other)).await?;
        let (at_other, ()) = self.peer_ref(other).when(since, "that it is linked", up(one)).await?;
        Ok(at_one.max(at_other))
    }
}
