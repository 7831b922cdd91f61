//! What sync points cost: `cargo bench --workspace --bench sync`.
//!
//! One run, one table: barriers of a hundred and a thousand members, values from one member to ninety-nine, and operations a second, each
//! beside redis with the same done by as many clients. Members are programs of a real run; a hundred are measured with an agent each and with
//! four agents between them. The last section has up to a thousand of them with an agent each and links among them. All clocks are the machine's one, so a time from one process is compared with that of another. A word on the
//! command line (`-- barrier`) runs the sections that bear it. A missed must ends it with exit code 1.

#[path = "../../../proto/mesh/benches/mesh/machine.rs"]
#[allow(dead_code, reason = "the mesh's bench measures memory and processor time too")]
mod machine;
#[path = "../../../proto/mesh/benches/mesh/measure.rs"]
#[allow(dead_code, reason = "the mesh's bench has patience and ratios of rounds too")]
mod measure;
mod member;
mod ours;
mod redis;
mod scale;
#[path = "../../../proto/mesh/benches/mesh/sections.rs"]
mod sections;
#[path = "../../../proto/mesh/benches/mesh/table.rs"]
#[allow(dead_code, reason = "the mesh's bench has other goals")]
mod table;

use std::collections::BTreeSet;
use std::process::ExitCode;

use measure::{ROUNDS, Spread};
use member::{Kind, Told};
use ours::Crowd;
use table::{Goal, Table};

/// Members of the smaller crowds, each a process.
const MEMBERS: usize = 100;

/// A hundred with an agent each, the same with 25 to an agent, and a thousand of which ten are one process with an agent of its own.
const CROWDS: [Crowd; 3] = [
    Crowd { programs: MEMBERS, at_each: 1, per_agent: 1 },
    Crowd { programs: MEMBERS, at_each: 1, per_agent: 25 },
    Crowd { programs: MEMBERS, at_each: 10, per_agent: 1 },
];

type Section = fn() -> Table;

const SECTIONS: &[(&str, Section)] =
    &[("barrier", barriers), ("publish", values), ("operations", operations), ("scale", scale::scale)];

fn main() -> ExitCode {
    let words = sections::words();
    if let [mode, rest @ ..] = &words[..]
        && mode == member::CHILD
    {
        member::run(rest);
        return ExitCode::SUCCESS;
    }
    sections::tell(&words, SECTIONS, |section| section())
}

/// Redis does the same once for crowds of the same size.
#[derive(Default)]
struct Rival(BTreeSet<usize>);

impl Rival {
    /// None: redis is not installed, or has done it.
    fn once(&mut self, kind: Kind, members: usize) -> Option<Told> {
        self.0.insert(members).then(|| redis::run(kind, members)).flatten()
    }
}

fn name(crowd: Crowd) -> String {
    format!("{} members at {} agents", crowd.members(), crowd.agents())
}

fn barriers() -> Table {
    let (mut table, mut rival) = (Table::default(), Rival::default());
    for crowd in CROWDS {
        let (members, theirs) = (crowd.members(), rival.once(Kind::Barrier, crowd.members()));
        let (ours, name) = (ours::run(Kind::Barrier, crowd).barriers(members), name(crowd));
        table.plain(format!("ms, barrier of {name}: from the last to come to the last to go, p50"), ours.last);
        table.plain(format!("ms, barrier of {name}: from the last to come to each who goes, p99"), ours.each_p99);
        if let Some(theirs) = theirs {
            let theirs = theirs.barriers(members);
            table.plain(format!("ms, barrier of {members}, redis: to the last to go, p50"), theirs.last);
            table.plain(format!("ms, barrier of {members}, redis: to each who goes, p99"), theirs.each_p99);
        }
    }
    table
}

fn values() -> Table {
    let (mut table, mut rival) = (Table::default(), Rival::default());
    for crowd in CROWDS.into_iter().filter(|crowd| crowd.members() == MEMBERS) {
        let theirs = rival.once(Kind::Publish, crowd.members());
        let rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| ours::run(Kind::Publish, crowd).latencies()).collect();
        let (p50, p99): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
        for (which, figures, aim) in [("p50", p50, 2.0), ("p99", p99, 10.0)] {
            let spread = Spread::of(&figures);
            let what = format!("ms, a value from one to 99 others, {}, {which}", name(crowd));
            table.judged(what, spread, Goal::at_most(spread.median, 50.0, aim));
        }
        if let Some(theirs) = theirs {
            let (p50, p99) = theirs.latencies();
            table.plain("ms, the same by redis PUBLISH, p50", Spread::of(&[p50]));
            table.plain("ms, the same by redis PUBLISH, p99", Spread::of(&[p99]));
        }
    }
    table
}

fn operations() -> Table {
    let (mut table, mut rival) = (Table::default(), Rival::default());
    for crowd in CROWDS {
        let members = crowd.members();
        let theirs = rival.once(Kind::Operations, members).map(|theirs| theirs.rate());
        let rates: Vec<f64> = (0..ROUNDS).map(|_| ours::run(Kind::Operations, crowd).rate()).collect();
        let rates = Spread::of(&rates);
        let goal = Goal::figure_at_least(rates.median, 10_000.0, 50_000.0);
        table.judged(format!("signals/s, {}, one outstanding each", name(crowd)), rates, goal);
        if let Some(theirs) = theirs {
            let what = format!("INCR/s, redis, {members} clients, one outstanding each");
            table.plain(what, Spread::of(&[theirs]));
        }
    }
    table
}
