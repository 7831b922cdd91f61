//! The planted bugs: each goes into a copy of the sources, the simulation is built against it, and must find it.

use std::path::{Path, PathBuf};

use crate::SEEDS;
use crate::planting::{self, Bug, Built};

const LIST: &str = include_str!("planted.diff");

/// The sources that bugs are planted in.
const SOURCES: [&str; 8] =
    ["candidate.rs", "conducted.rs", "hands.rs", "keepers.rs", "log.rs", "outstanding.rs", "rebuilt.rs", "record.rs"];

#[test]
fn every_bug_that_is_planted_in_the_memory_is_found() {
    let bugs = planting::read(LIST, &SOURCES);
    assert_eq!(bugs.len(), 29, "so many are in the list");
    // As they were built for this test.
    let built = Built::by(&["test", "--workspace", "--no-run", "--test", "survival"], crate_folder());
    let libraries = ["meshproof", "meshproof_proto", "serde", "serde_json", "thiserror"];
    let libraries = libraries.map(|name| (name, built.library(name)));
    let said = planting::hunt_all(&bugs, |number, bug| hunt(bug, &libraries, number));
    let missed = said.iter().filter(|(_, says)| says.starts_with("holds"));
    let missed: Vec<&str> = missed.map(|(bug, _)| bug.what.as_str()).collect();
    assert!(missed.is_empty(), "{} planted bugs are not found: {missed:#?}", missed.len());
}

/// Builds the simulation with the bug in it and lets it look; gives what it says.
fn hunt(bug: &Bug, libraries: &[(&str, PathBuf)], number: usize) -> String {
    let folder = planting::folder(env!("CARGO_TARGET_TMPDIR"), &format!("planted-in-memory-{number}"), "memory");
    bug.plant_in(&SOURCES, &crate_folder().join("src/memory"), &folder.join("memory"));
    let source = std::fs::read(crate_folder().join("src/memory.rs")).expect("the sources are there");
    std::fs::write(folder.join("memory.rs"), source).expect("a temporary file can be written");
    planting::says(&planting::compile((&folder, &main_source()), libraries, "0"), &[SEEDS])
}

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sources with the bug stand beside it, everything else comes from the crate.
fn main_source() -> String {
    let here = crate_folder();
    let (seeds, sim) = (here.join("tests/survival/seeds.rs"), here.join("tests/survival/sim/mod.rs"));
    let world = here.join("src/run/tests/world.rs");
    format!(
        "pub use meshproof::{{plan, record, run}};
pub mod memory;
#[path = {seeds:?}] mod seeds;
#[path = {sim:?}] mod sim;
#[path = {world:?}] mod world;
fn main() {{
    let seeds = std::env::args().nth(1).expect(\"how many\").parse().expect(\"a number\");
    match seeds::all(0..seeds).failed {{
        Some(failed) => println!(\"{{failed}}\"),
        None => println!(\"holds\"),
    }}
}}
"
    )
}
