//! Every file of the fuzz targets' corpora, and thousands of changes to each, through the functions that the targets call: see
//! `fuzz/src/lib.rs`. Whatever comes from elsewhere is read or refused, and nothing panics.
//!
//! The changes are the same each time, so that what fails here fails everywhere; `MESHPROOF_FUZZ_SEED=$RANDOM` makes others,
//! `MESHPROOF_FUZZ_CHANGES` says how many each input gets. The seed is printed.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use meshproof_proto::seed::Seed;
use targets::{TARGETS, Target};

/// Changes to each input: a few seconds of work for all of them.
const CHANGES: u64 = 3_000;

const SEED: u64 = 1;

/// What long inputs are about is their length: they are read as they are, and changed seldom.
const LONG_BYTES: usize = 8 * 1024;
const CHANGES_OF_LONG: u64 = 20;

/// What parsers look for, and numbers at their ends.
const PIECES: [&[u8]; 16] = [
    b"\0",
    b"\n",
    b"\xff\xff\xff\xff",
    b"\xfb\xff\xff",
    b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff",
    b"${{",
    b"}}",
    b"{",
    b"[",
    b"\"",
    b": ",
    b"&a ",
    b"*a",
    b"\xc3\xa9",
    b"-9223372036854775808",
    b"1e999",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn corpus(kind: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(kind);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a corpus").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    assert!(paths.len() > 2, "{kind}: {} inputs are no corpus", paths.len());
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect()
}

/// One to eight small changes, as a fuzzer makes them; `other` is another input of the kind.
fn changed(bytes: &[u8], other: &[u8], luck: &mut Seed) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let place = |length: usize, luck: &mut Seed| usize::try_from(luck.below(length as u64 + 1)).expect("it fits");
    for _ in 0..=luck.below(8) {
        let from = place(bytes.len(), luck);
        let to = (from + place(16, luck)).min(bytes.len());
        match luck.below(6) {
            0 if from < bytes.len() => bytes[from] ^= 1 << luck.below(8),
            1 if from < bytes.len() => bytes[from] = luck.next_u64().to_le_bytes()[0],
            2 => drop(bytes.drain(from..to)),
            3 => {
                let copy = bytes[from..to].to_vec();
                let at = place(bytes.len(), luck);
                drop(bytes.splice(at..at, copy));
            }
            4 => {
                let at = place(other.len(), luck);
                let end = (at + place(32, luck)).min(other.len());
                drop(bytes.splice(from..to, other[at..end].iter().copied()));
            }
            _ => {
                let piece = PIECES[place(PIECES.len() - 1, luck)];
                drop(bytes.splice(from..from, piece.iter().copied()));
            }
        }
    }
    bytes
}

/// Shows what an input was when it breaks its target.
fn put((kind, target): Target, bytes: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err() {
        panic!("{kind}: {what} broke it: {:?}", String::from_utf8_lossy(bytes));
    }
}

fn all_of(kind: &str) {
    let target = TARGETS.into_iter().find(|(name, _)| *name == kind).expect("a target");
    let seed = number("MESHPROOF_FUZZ_SEED").unwrap_or(SEED);
    println!("MESHPROOF_FUZZ_SEED={seed}");
    let mut luck = Seed::new(seed);
    let inputs = corpus(kind);
    for (path, bytes) in &inputs {
        put(target, bytes, &path.display().to_string());
        let changes = number("MESHPROOF_FUZZ_CHANGES").unwrap_or(CHANGES);
        for change in 0..if bytes.len() > LONG_BYTES { changes.min(CHANGES_OF_LONG) } else { changes } {
            let other = &inputs[usize::try_from(luck.below(inputs.len() as u64)).expect("it fits")].1;
            let other = &other[..other.len().min(LONG_BYTES)];
            let input = changed(bytes, other, &mut luck);
            put(target, &input, &format!("change {change} of {} with seed {seed}", path.display()));
        }
    }
}

#[test]
fn signals_are_read_or_refused() {
    all_of("signals");
}

#[test]
fn grants_are_read_or_refused() {
    all_of("grants");
}

#[test]
fn frames_are_read_or_refused() {
    all_of("frames");
}

#[test]
fn calls_and_replies_are_read_or_refused() {
    all_of("rpc");
}

#[test]
fn journals_are_read_or_refused() {
    all_of("journal");
}

#[test]
fn plans_are_read_or_refused() {
    all_of("plan");
}

#[test]
fn expressions_are_read_or_refused() {
    all_of("expressions");
}

#[test]
fn matchers_are_read_or_refused() {
    all_of("matchers");
}

#[test]
fn every_target_has_a_corpus_and_a_test_and_a_file_for_the_fuzzer() {
    let this = include_str!("corpus.rs");
    for (kind, _) in TARGETS {
        assert!(!corpus(kind).is_empty() && this.contains(&format!("all_of(\"{kind}\")")), "{kind}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fuzz/fuzz_targets/{kind}.rs"));
        assert!(file.exists(), "{} is missing", file.display());
    }
}
