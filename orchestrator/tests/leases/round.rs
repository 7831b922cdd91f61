//! One run with a fault of every kind, who is killed in it, and what its clients see then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meshproof_proto::seed::Seed;
use serde_json::Value;

use crate::ground::{Ground, Kind};
use crate::network::Network;
use crate::observer::{Observer, Served};
use crate::place::{Commander, PATIENCE, Place, kill};
use crate::processes::{self, Process, Watch};

/// What a round is made of.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub ground: Ground,
    pub seed: u64,
    /// So long after the end of its lease a fault may be felt.
    pub late: Duration,
}

/// Whom SIGKILL ends in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    /// Agents, and whoever commands.
    Both,
    Keeper,
    /// Whoever commands, and nobody takes over.
    Orchestrator,
    Agents,
}

/// Each of them in turn.
const KILLED: [Killed; 4] = [Killed::Both, Killed::Keeper, Killed::Orchestrator, Killed::Agents];

/// What a loaded machine may take to serve a client again.
pub const LOADED: Duration = Duration::from_secs(60);

/// How long each fault lasts: the first of these in which everybody feels it.
const LEASES_S: [u64; 4] = [10, 20, 40, 80];

/// Agents that are killed at most: the others are more than half, whom a take-over takes.
const AGENTS: u64 = 2;

impl Round {
    /// A machine that is so slow that nobody felt it in time gets more time.
    pub fn play(self) {
        let is_felt = LEASES_S.into_iter().any(|lease_s| self.play_with(lease_s));
        assert!(is_felt, "seed {}: a fault is not felt", self.seed);
    }

    /// Gives whether everybody felt everything before the lease was over.
    fn play_with(self, lease_s: u64) -> bool {
        let killed = KILLED[usize::try_from(self.seed - 1).expect("few") % KILLED.len()];
        println!("  seed {}: {killed:?}, {:?}", self.seed, self.ground);
        let place = Place::new();
        let commander = place.run(self.ground, lease_s);
        // services are ready, so all of them have written whom they ask
        commander.until("the test", |what| what["test-began"].is_object());
        let networks = networks(self.ground, &processes::mentioning(place.path()));
        let observers: Vec<Observer> =
            self.ground.felt().into_iter().map(|kind| self.observer(kind, &place, &networks)).collect();
        let over = until_active(self.ground, &commander) + Duration::from_secs(lease_s);
        let felt = observers.iter().all(|observer| is_felt(observer, over));
        let mut middle = Middle { place: &place, commander, networks, all: processes::mentioning(place.path()) };
        if !felt || Instant::now() >= over {
            drop(observers);
            middle.end();
            return false;
        }
        if killed == Killed::Keeper {
            drop(observers);
            middle.keeper_killed();
            return true;
        }
        let gone = middle.kill(killed, (self.ground, &mut Seed::new(self.seed)));
        let back = Instant::now();
        let (through_them, others): (Vec<&Observer>, Vec<&Observer>) =
            observers.iter().partition(|observer| self.ground.is_on_way_of(&observer.kind, &gone));
        self.is_over((&others, over), self.late);
        // where an agent was killed, links to the next instance are made first
        self.is_over((&through_them, over.max(back)), LOADED);
        drop(observers);
        middle.end();
        true
    }

    /// Everybody is served well, from then on or so much later.
    fn is_over(self, (observers, from): (&[&Observer], Instant), at_most: Duration) {
        let late = observers.iter().map(|observer| (felt_after(observer, from), observer.kind.name)).max();
        let Some((late, kind)) = late else { return };
        let names: Vec<&str> = observers.iter().map(|observer| observer.kind.name).collect();
        println!("  seed {}: {} ms late at most, of {}", self.seed, late.as_millis(), names.join(" "));
        assert!(late <= at_most, "seed {}: {kind} was felt {late:?} after its lease", self.seed);
    }

    fn observer(self, kind: Kind, place: &Place, networks: &BTreeMap<usize, Network>) -> Observer {
        let text = std::fs::read_to_string(place.asks().join(kind.name));
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", kind.name));
        let address: SocketAddr =
            text.trim().parse().unwrap_or_else(|error| panic!("{}: {text:?}: {error}", kind.name));
        let path = self.ground.paths().into_iter().find(|path| path.kind.name == kind.name);
        let own = path.and_then(|path| networks.get(&path.near));
        Observer::new(kind, address, own.or(place.network()))
    }
}

/// Those of all services, where each has its own.
fn networks(ground: Ground, all: &[Process]) -> BTreeMap<usize, Network> {
    let service = |number: usize| {
        let name = format!("n{number}");
        let is_it = |process: &&Process| process.variable("SELF") == Some(&name) && process.subcommand().is_none();
        all.iter().find(is_it).unwrap_or_else(|| panic!("no service {name} among {all:#?}"))
    };
    let own = ground.services().filter(|_| ground == Ground::Network);
    own.map(|number| (number, Network::of(service(number)))).collect()
}

/// Waits until all faults are active; the last of them no longer than now.
fn until_active(ground: Ground, commander: &Commander) -> Instant {
    let mut missing: BTreeSet<&str> = ground.felt().into_iter().map(|kind| kind.name).collect();
    commander.until("every fault", |what| {
        let ended = &what["step-ended"];
        if let Some(id) = ended["step"]["id"].as_str() {
            assert!(!missing.remove(id) || is_pass(ended), "{ended}");
        }
        missing.is_empty()
    });
    Instant::now()
}

fn is_pass(ended: &Value) -> bool {
    ended["ending"] == "pass"
}

fn is_felt(observer: &Observer, over: Instant) -> bool {
    loop {
        match observer.next(over + PATIENCE) {
            Some(seen) if seen.began >= over => return false,
            Some(seen) if seen.served == Served::Disturbed => return true,
            Some(_) => {}
            None => panic!("nobody answers for {}", observer.kind.name),
        }
    }
}

/// How long after that the last question began that was not answered well, before one was.
fn felt_after(observer: &Observer, from: Instant) -> Duration {
    let (deadline, mut late) = (Instant::now().max(from) + PATIENCE, Duration::ZERO);
    while let Some(seen) = observer.next(deadline) {
        match seen.served {
            _ if seen.began < from => {}
            Served::Well => return late,
            Served::Disturbed => late = seen.began - from,
        }
    }
    panic!("{} is never over", observer.kind.name)
}

/// A run in which faults are active.
struct Middle<'p> {
    place: &'p Place,
    commander: Commander,
    networks: BTreeMap<usize, Network>,
    all: Vec<Process>,
}

impl Middle<'_> {
    /// Gives the numbers of those whose agents were killed, when another instance has taken over from each.
    fn kill(&mut self, killed: Killed, (ground, seed): (Ground, &mut Seed)) -> BTreeSet<usize> {
        if matches!(killed, Killed::Orchestrator | Killed::Both) {
            self.commander.kill();
        }
        if killed == Killed::Orchestrator {
            return BTreeSet::new();
        }
        let (mut numbers, mut gone): (Vec<usize>, _) = (ground.services().collect(), BTreeSet::new());
        for _ in 0..=seed.below(AGENTS) {
            gone.insert(numbers.swap_remove(usize::try_from(seed.below(numbers.len() as u64)).expect("few")));
        }
        let mut missing: BTreeSet<String> = gone.iter().map(|number| format!("n{number}")).collect();
        println!("    {missing:?}");
        missing.iter().for_each(|name| kill(processes::agent(&self.all, name)));
        if killed == Killed::Both {
            self.commander = self.place.take_over();
        }
        self.commander.until("other instances", |what| {
            if let Some(name) = what["failover-complete"]["agent"].as_str() {
                missing.remove(name);
            }
            missing.is_empty()
        });
        gone
    }

    /// The keeper ends everything that there is, what stands still too.
    fn keeper_killed(&mut self) {
        kill(processes::keepers(&self.all).1);
        Watch::on(std::mem::take(&mut self.all)).wait(PATIENCE);
        nothing_left(self.place);
        assert!(!self.networks.values().any(Network::is_lived_in), "somebody is left in the network of a service");
    }

    fn end(mut self) {
        self.commander.kill();
        self.all = processes::mentioning(self.place.path());
        self.keeper_killed();
    }
}

/// What began last may end last.
fn nothing_left(place: &Place) {
    loop {
        let left = processes::mentioning(place.path());
        if left.is_empty() {
            return;
        }
        Watch::on(left).wait(PATIENCE);
    }
}
