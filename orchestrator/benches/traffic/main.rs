//! What traffic costs and whether faults do what they say: `cargo bench --workspace --bench traffic`.
//!
//! One run, one table: calls of a load beside wrk's, a tunnel beside no tunnel, haproxy and socat, the data network beside the tunnel, and
//! what every fault came to as the client sees it that stands outside of the mesh. Everything happens in real runs of the meshproof binary
//! that was built with this bench; rivals take turns within each round, and a ratio is the median of the rounds' ratios. A word on
//! the command line (`-- load`) runs the sections that bear it. A missed must ends it with exit code 1.

mod accuracy;
mod carried;
mod load;
#[path = "../../../proto/mesh/benches/mesh/machine.rs"]
#[allow(dead_code, reason = "the mesh's bench measures memory and processor time too")]
mod machine;
#[path = "../../../proto/mesh/benches/mesh/measure.rs"]
#[allow(dead_code, reason = "the mesh's bench has quantiles and patience too")]
mod measure;
mod observer;
mod rivals;
mod runs;
#[path = "../../../proto/mesh/benches/mesh/sections.rs"]
mod sections;
#[path = "../steps/server.rs"]
mod server;
#[path = "../../../proto/mesh/benches/mesh/table.rs"]
#[allow(dead_code, reason = "the mesh's bench has other goals")]
mod table;

use std::process::ExitCode;

use table::Table;

type Section = fn() -> Table;

const SECTIONS: &[(&str, Section)] = &[("load", load::run), ("carried", carried::run), ("accuracy", accuracy::run)];

fn main() -> ExitCode {
    let words = sections::words();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [server::CHILD] => server::serve(0),
        [observer::FAR, port] => observer::far(port),
        [observer::LOOK, what, rest @ ..] => println!("{}", observer::look(what, rest)),
        _ => return sections::tell(&words, SECTIONS, |section| section()),
    }
    ExitCode::SUCCESS
}
