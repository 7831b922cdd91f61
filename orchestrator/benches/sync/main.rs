//! What sync points cost: `cargo bench --workspace --bench sync`.
//!
//! One run, one table: barriers of a hundred and a thousand members, values from one member to ninety-nine, and operations a second, each
//! beside redis with the same done by as many clients. Members are programs of a real run, each with an agent of its own on the mesh; of a thousand, ten
//! are at each of a hundred agents. All clocks are the machine's one, so a time from one process is compared with that of another. A word on the
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
#[path = "../../../proto/mesh/benches/mesh/sections.rs"]
mod sections;
#[path = "../../../proto/mesh/benches/mesh/table.rs"]
#[allow(dead_code, reason = "the mesh's bench has other goals")]
mod table;

use std::process::ExitCode;

use measure::Spread;
use member::{Kind, Told};
use table::{Goal, Table};

/// Members of the smaller crowd, each with an agent of its own.
const MEMBERS: usize = 100;
/// Members at each agent of the larger crowd.
const AT_EACH: usize = 10;

type Section = fn() -> Table;

const SECTIONS: &[(&str, Section)] = &[("barrier", barriers), ("publish", values), ("operations", operations)];

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

/// The same done by members of a run and by clients of redis; what both tell.
fn both(kind: Kind, at_each: usize) -> (Told, Option<Told>) {
    let theirs = redis::run(kind, MEMBERS * at_each);
    (ours::run(kind, MEMBERS, at_each), theirs)
}

fn barriers() -> Table {
    let mut table = Table::default();
    for at_each in [1, AT_EACH] {
        let members = MEMBERS * at_each;
        let (ours, theirs) = both(Kind::Barrier, at_each);
        let ours = ours.barriers(members);
        table.plain(format!("ms, barrier of {members}: from the last to come to the last to go, p50"), ours.last);
        table.plain(format!("ms, barrier of {members}: from the last to come to each who goes, p99"), ours.each_p99);
        if let Some(theirs) = theirs {
            let theirs = theirs.barriers(members);
            table.plain(format!("ms, barrier of {members}, redis: to the last to go, p50"), theirs.last);
            table.plain(format!("ms, barrier of {members}, redis: to each who goes, p99"), theirs.each_p99);
        }
    }
    table
}

fn values() -> Table {
    let mut table = Table::default();
    let (ours, theirs) = both(Kind::Publish, 1);
    let (p50, p99) = ours.latencies();
    table.judged("ms, a value from one member to 99 others, p50", Spread::of(&[p50]), Goal::at_most(p50, 50.0, 2.0));
    table.judged("ms, a value from one member to 99 others, p99", Spread::of(&[p99]), Goal::at_most(p99, 50.0, 10.0));
    if let Some(theirs) = theirs {
        let (p50, p99) = theirs.latencies();
        table.plain("ms, the same by redis PUBLISH, p50", Spread::of(&[p50]));
        table.plain("ms, the same by redis PUBLISH, p99", Spread::of(&[p99]));
    }
    table
}

fn operations() -> Table {
    let mut table = Table::default();
    let (ours, theirs) = both(Kind::Operations, 1);
    let rate = ours.rate();
    let goal = Goal::figure_at_least(rate, 10_000.0, 50_000.0);
    table.judged("signals/s, 100 members, one outstanding each", Spread::of(&[rate]), goal);
    if let Some(theirs) = theirs {
        table.plain("INCR/s, redis, 100 clients, one outstanding each", Spread::of(&[theirs.rate()]));
    }
    table
}
