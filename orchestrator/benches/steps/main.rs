//! What plans cost beside what they ask for: `cargo bench -p meshproof`.
//!
//! One run, one table: reading a plan of ten thousand steps, reading and showing a journal of a hundred thousand events, and a thousand HTTP steps in a real run, beside the same requests made
//! by hurl and by a bare client, all to one server that keeps connections open. Rivals take turns within each round, and the ratio
//! is the median of the rounds' ratios. All traffic stays on loopback. A word on the command line (`-- check`) runs the sections
//! that bear it. A missed must ends it with exit code 1.

mod bare;
#[path = "../../tests/report/busy.rs"]
mod busy;
mod check;
mod events;
mod hurl;
#[path = "../../../proto/mesh/benches/mesh/machine.rs"]
#[allow(dead_code, reason = "the mesh's bench measures memory and processor time too")]
mod machine;
#[path = "../../../proto/mesh/benches/mesh/measure.rs"]
#[allow(dead_code, reason = "the mesh's bench has quantiles and patience too")]
mod measure;
mod plans;
mod respawn;
mod screen;
#[path = "../../../proto/mesh/benches/mesh/sections.rs"]
mod sections;
mod sequence;
mod server;
#[path = "../../../proto/mesh/benches/mesh/table.rs"]
#[allow(dead_code, reason = "the mesh's bench has other goals")]
mod table;
mod takeover;

use std::process::ExitCode;

use table::Table;

type Section = fn() -> Table;

/// In this order: what needs no other process comes first.
const SECTIONS: &[(&str, Section)] = &[
    ("check", check::run),
    ("events", events::run),
    ("sequence", sequence::run),
    ("screen", screen::run),
    ("respawn", respawn::run),
    ("takeover", takeover::run),
];

fn main() -> ExitCode {
    let words = sections::words();
    if let [word, port @ ..] = &words[..]
        && word == server::CHILD
    {
        server::serve(port.first().map_or(0, |port| port.parse().expect("a port")));
        return ExitCode::SUCCESS;
    }
    sections::tell(&words, SECTIONS, |section| section())
}
