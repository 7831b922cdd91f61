//! One run, what strikes it, and what is held against it.

use std::time::{Duration, Instant};

use meshproof_proto::seed::Seed;

use crate::checker;
use crate::commanders::Commander;
use crate::nemesis::{Kind, Nemesis, SURVIVED, Strike};
use crate::place::Place;
use crate::processes;
use crate::service::ENOUGH;
use crate::tally::Tally;
use crate::workload::{Ground, Workload};

/// What a round is made from.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub seed: u64,
    pub numbers: u64,
    pub storm: Storm,
}

/// What strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storm {
    /// Everything that a run comes through, several times each.
    Everything,
    /// The keeper, once.
    Keeper,
}

/// Each kind, in a round of everything.
pub const STRIKES: usize = 5;

/// What all strikes of a round take at most, waits and take-overs included: so long its numbers keep it busy. About a fourth of them are
/// single steps, all others records, which take less.
const BUSY: Duration = Duration::from_secs(180);

/// A run that nobody strikes any more ends soon.
const ENDS_WITHIN: Duration = Duration::from_secs(180);

impl Round {
    /// Plays it. One that does not hold leaves its folder.
    pub fn play(self, tally: &mut Tally) -> Result<(), String> {
        let (began, place) = (Instant::now(), Place::new());
        println!("  seed {}, {} numbers, {:?}", self.seed, self.numbers, self.storm);
        let result = self.played(&place, tally);
        match result {
            Ok(shown) => println!("  seed {}: {shown}, {:.1} s", self.seed, began.elapsed().as_secs_f64()),
            Err(why) => {
                let folder = place.keep();
                return Err(format!("seed {}: {why}\neverything about it is in {}", self.seed, folder.display()));
            }
        }
        Ok(())
    }

    fn played(self, place: &Place, tally: &mut Tally) -> Result<String, String> {
        let mut seed = Seed::new(self.seed);
        let effects = place.effects().display().to_string();
        let program = std::env::current_exe().map_err(|error| error.to_string())?.display().to_string();
        let pause_ms = match self.storm {
            Storm::Everything => 4 * u64::try_from(BUSY.as_millis()).unwrap_or(u64::MAX) / self.numbers,
            Storm::Keeper => 100,
        };
        let ground = Ground { program: &program, folder: &effects, pause_ms };
        let workload = Workload::new(self.numbers, &mut seed, &ground);
        let plan = place.path().join("plan.yaml");
        std::fs::write(&plan, workload.plan()).map_err(|error| error.to_string())?;
        let commands = Commander::first(place, &plan);
        let mut nemesis =
            Nemesis { place, seed: &mut seed, commands, standby: None, replaced: Vec::new(), strikes: Vec::new() };
        let struck = self.strike(&mut nemesis);
        let Nemesis { commands, standby, replaced, strikes, .. } = nemesis;
        let found = struck.and_then(|()| {
            std::fs::write(place.effects().join(ENOUGH), "").map_err(|error| error.to_string())?;
            let exit = ends(commands, standby, replaced)?;
            nothing_left(place)?;
            checker::check(place, &workload, (&strikes, exit))
        });
        let found = found.map_err(|why| {
            let struck: Vec<String> = strikes.iter().map(ToString::to_string).collect();
            format!("{why}\nwhat struck:\n  {}", struck.join("\n  "))
        })?;
        tally.add(&strikes, &found);
        Ok(found.to_string())
    }

    fn strike(self, nemesis: &mut Nemesis<'_>) -> Result<(), String> {
        let kinds = match self.storm {
            Storm::Everything => shuffled(nemesis),
            Storm::Keeper => {
                // Some of the work is done by then.
                let done = usize::try_from(2 + nemesis.seed.below(10)).expect("few");
                let enough = nemesis.commands.until(ENDS_WITHIN, |seen| seen.tests_ended >= done || seen.is_over);
                enough.map_err(|seen| format!("nothing is done: {seen:#?}"))?;
                vec![Kind::KeeperKilled]
            }
        };
        kinds.into_iter().try_for_each(|kind| nemesis.strike(kind))
    }
}

fn nothing_left(place: &Place) -> Result<(), String> {
    let left = processes::mentioning(place.path());
    if left.is_empty() { Ok(()) } else { Err(format!("processes were left behind: {left:#?}")) }
}

/// Every kind as often as it is to strike, in the seed's order.
fn shuffled(nemesis: &mut Nemesis<'_>) -> Vec<Kind> {
    let can = |kind: &&Kind| **kind != Kind::LinksCut || nemesis.place.can_cut();
    let mut kinds: Vec<Kind> = SURVIVED.iter().filter(can).flat_map(|kind| [*kind; STRIKES]).collect();
    for at in (1..kinds.len()).rev() {
        let other = usize::try_from(nemesis.seed.below(at as u64 + 1)).expect("few");
        kinds.swap(at, other);
    }
    kinds
}

/// Waits for all of them; those that live have the run's exit code.
fn ends(mut commands: Commander, standby: Option<Commander>, replaced: Vec<Commander>) -> Result<i32, String> {
    let exit = commands.exit(ENDS_WITHIN).map_err(|why| format!("who commands: {why}"))?;
    let standby = standby.map(|standby| ("who stands by", standby));
    let replaced = replaced.into_iter().map(|replaced| ("who was replaced", replaced));
    for (what, mut other) in standby.into_iter().chain(replaced) {
        let its = other.exit(ENDS_WITHIN).map_err(|why| format!("{what}: {why}"))?;
        if its != exit && its != KILLED {
            return Err(format!("{what} exits with {its}, the run with {exit}: {:#?}", other.seen().said));
        }
    }
    Ok(exit)
}

/// By SIGKILL.
const KILLED: i32 = 137;

/// How long an agent that was killed may be away.
const AWAY_MS: u64 = 20_000;

/// Strikes that have to do with an agent between these times.
pub fn explains(strike: &Strike, agents: &[&str], (from_ms, until_ms): (u64, u64)) -> bool {
    let is_its = strike.agent.is_some_and(|agent| agents.contains(&agent));
    let meets = strike.from_ms <= until_ms && from_ms <= strike.until_ms.saturating_add(AWAY_MS);
    strike.kind == Kind::KeeperKilled || (strike.kind == Kind::AgentKilled && is_its && meets)
}
