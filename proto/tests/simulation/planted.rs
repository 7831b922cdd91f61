//! The planted bugs: each goes into a copy of the sources, the simulation is built against it, and must find it.

use std::path::{Path, PathBuf};

use crate::SEEDS;
use crate::planting::{self, Bug, Built};

const LIST: &str = include_str!("planted.diff");
/// The sources that bugs are planted in.
const SOURCES: [&str; 5] = ["link.rs", "flow.rs", "flow/sending.rs", "flow/receiving.rs", "ways.rs"];
/// Most bugs show within so few seeds that a build which is slow to run and quick to make is the best; the others get a better one.
const FEW: u64 = 300;

#[test]
fn every_planted_bug_is_found() {
    let bugs = planting::read(LIST, &SOURCES);
    assert_eq!(bugs.len(), 47, "the two lists are of twenty and of twenty-seven");
    // The crate itself, for everything without a bug, and what its sources need.
    let built = Built::by(&["build", "--package", "meshproof-proto", "--lib"], proto());
    let libraries = ["meshproof_proto", "thiserror"].map(|name| (name, built.library(name)));
    let said = planting::hunt_all(&bugs, |number, bug| hunt(bug, &libraries, number));
    let missed = said.iter().filter(|(_, says)| !says.starts_with("seed "));
    let missed: Vec<String> =
        missed.map(|(bug, says)| format!("{}: {}: {}", bug.file, bug.what, planting::shown(says))).collect();
    assert!(missed.is_empty(), "{} planted bugs are not found: {missed:#?}", missed.len());
}

/// Builds the simulation with the bug in it and lets it look; gives what it says.
fn hunt(bug: &Bug, libraries: &[(&str, PathBuf)], number: usize) -> String {
    let folder = planting::folder(env!("CARGO_TARGET_TMPDIR"), &format!("planted-{number}"), "flow");
    bug.plant_in(&SOURCES, &proto().join("src"), &folder);
    let look = |opt_level, seeds: [u64; 2]| {
        planting::says(&planting::compile((&folder, &main_source()), libraries, opt_level), &seeds)
    };
    let says = look("0", [0, FEW]);
    if says.starts_with("holds") { look("1", [FEW, SEEDS]) } else { says }
}

fn proto() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sources with the bug stand beside it, everything else comes from the crate.
fn main_source() -> String {
    let here = proto().join("tests/simulation");
    let (seeds, sim) = (here.join("seeds.rs"), here.join("sim/mod.rs"));
    format!(
        "pub use meshproof_proto::{{backoff, id, limits, seed, signal}};
pub mod link;
pub mod flow;
pub mod ways;
#[path = {seeds:?}] mod seeds;
#[path = {sim:?}] mod sim;
fn main() {{
    let seeds: Vec<u64> = std::env::args().skip(1).map(|word| word.parse().expect(\"a number\")).collect();
    match seeds::all(seeds[0]..seeds[1], |_| {{}}).failed {{
        Some(failed) => println!(\"{{failed}}\"),
        None => println!(\"holds\"),
    }}
}}
"
    )
}
