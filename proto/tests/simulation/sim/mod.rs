//! A world of a few peers in which everything that can go wrong does, decided by one seed.
//!
//! The real [`Machine`](crate::link::Machine) and the real stream flow run on a virtual clock between a simulated shell, a
//! simulated signaling server and simulated connections. Invariants are checked at three edges: what a machine says
//! ([`witness`]), what a stream does ([`streams`]), and what the world as a whole has come to ([`judge`]).

mod agenda;
mod carry;
mod check;
mod faults;
mod judge;
mod luck;
mod shell;
mod streams;
mod weather;
mod wire;
mod witness;
mod world;

use std::time::Duration;

use check::Broken;
use world::World;

/// The kinds of connection in a link: control, then the bulk connections. All but the first of those are stripes, wanted later.
const CONTROL: usize = 0;
const BULK: usize = 1;

/// The stripe that a bulk kind is.
fn stripe(kind: usize) -> Option<u8> {
    kind.checked_sub(BULK).map(|stripe| u8::try_from(stripe).expect("a world has few stripes"))
}

/// What a node hears of another when signaling is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signaling {
    Comes,
    /// It is away, and does not come back.
    Gone,
}

/// Who of the two offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offers {
    We,
    They,
}

/// What a seed that holds tells.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    pub events: u64,
    /// From the end of the last fault until every link was up again.
    pub healed: Duration,
}

/// An invariant that a seed broke.
#[derive(Clone, Debug)]
pub struct Failed {
    pub seed: u64,
    pub invariant: &'static str,
    pub at: Duration,
    pub seen: String,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, invariant, at, seen } = self;
        write!(f, "seed {seed} at {at:?}: {invariant}: {seen}")
    }
}

/// Runs one seed.
pub fn run(seed: u64) -> Result<Passed, Failed> {
    play(World::new(seed), seed)
}

/// Runs one seed and prints what happens.
pub fn trace(seed: u64) -> Result<Passed, Failed> {
    let mut world = World::new(seed);
    world.talks = true;
    play(world, seed)
}

fn play(mut world: World, seed: u64) -> Result<Passed, Failed> {
    world.runs().map_err(|Broken { invariant, seen }| Failed { seed, invariant, at: world.elapsed(), seen })
}
