//! The sections of a bench: those that the command line names, or all of them, in one table.

use std::process::ExitCode;

use crate::machine;
use crate::table::Table;

/// What stands on the command line, without what cargo puts there.
pub fn words() -> Vec<String> {
    std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect()
}

/// Runs them, and prints what they have measured. A missed must is a failure.
pub fn tell<Section>(words: &[String], sections: &[(&str, Section)], run: impl Fn(&Section) -> Table) -> ExitCode {
    println!("{}", machine::description());
    let mut table = Table::default();
    for (name, section) in sections {
        if words.is_empty() || words.iter().any(|word| word == name) {
            eprintln!("{name} …");
            table.extend(run(section));
        }
    }
    println!("{table}");
    println!("{}", machine::load());
    if table.misses() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
