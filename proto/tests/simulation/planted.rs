//! The planted bugs: each goes into a copy of the sources, the simulation is built against it, and must find it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::SEEDS;

const LIST: &str = include_str!("planted.diff");
/// The sources that bugs are planted in.
const SOURCES: [&str; 5] = ["link.rs", "flow.rs", "flow/sending.rs", "flow/receiving.rs", "ways.rs"];
/// Most bugs show within so few seeds that a build which is slow to run and quick to make is the best; the others get a better one.
const FEW: u64 = 300;
/// Builds that run at once.
const AT_ONCE: usize = 2;

/// One mistake.
#[derive(Debug)]
struct Bug {
    file: String,
    what: String,
    before: Vec<String>,
    after: Vec<String>,
}

#[test]
fn every_planted_bug_is_found() {
    let bugs = read(LIST);
    assert_eq!(bugs.len(), 47, "the two lists are of twenty and of twenty-seven");
    let libraries = Libraries::build();
    let queue = Mutex::new(bugs.iter().enumerate());
    let found = Mutex::new(vec![None; bugs.len()]);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("nothing panics while it is held").next();
                    let Some((number, bug)) = next else { return };
                    let says = hunt(bug, &libraries, &folder(number));
                    found.lock().expect("nothing panics while it is held")[number] = Some(says);
                }
            });
        }
    });
    let found: Vec<Option<String>> = found.into_inner().expect("a worker that panics ends the scope first");
    let mut missed = Vec::new();
    for (bug, says) in bugs.iter().zip(found) {
        let says = says.expect("every bug was hunted");
        let shown: String = says.chars().take(120).collect();
        println!("{}: {}\n    {shown}", bug.file, bug.what);
        if !says.starts_with("seed ") {
            missed.push(format!("{}: {}: {shown}", bug.file, bug.what));
        }
    }
    assert!(missed.is_empty(), "{} planted bugs are not found: {missed:#?}", missed.len());
}

/// Reads the list: a line `file: what`, then lines that begin with `-` and `+`; `#` begins a heading.
fn read(list: &str) -> Vec<Bug> {
    let mut bugs: Vec<Bug> = Vec::new();
    for line in list.lines() {
        let title = line.split_once(": ").filter(|(file, _)| SOURCES.contains(file));
        match (title, bugs.last_mut()) {
            (Some((file, what)), _) => {
                bugs.push(Bug { file: file.to_owned(), what: what.to_owned(), before: Vec::new(), after: Vec::new() })
            }
            (None, Some(bug)) => match line.split_at_checked(1) {
                Some(("-", before)) => bug.before.push(before.trim().to_owned()),
                Some(("+", after)) => bug.after.push(after.to_owned()),
                _ => assert!(line.is_empty() || line.starts_with('#'), "`{line}` belongs to no bug"),
            },
            (None, None) => {}
        }
    }
    bugs
}

impl Bug {
    /// The source with the bug in it.
    fn plant(&self, source: &str) -> String {
        let lines: Vec<&str> = source.lines().collect();
        let fits = |at: &usize| {
            let there = lines[*at..].iter().map(|line| line.trim());
            there.take(self.before.len()).eq(self.before.iter().map(String::as_str))
        };
        let places: Vec<usize> = (0..lines.len()).filter(fits).collect();
        let [at] = places[..] else { panic!("`{}` fits {} places, one was expected", self.what, places.len()) };
        let after = self.after.iter().map(String::as_str);
        let rest = lines[at + self.before.len()..].iter().copied();
        let planted: Vec<&str> = lines[..at].iter().copied().chain(after).chain(rest).collect();
        planted.join("\n") + "\n"
    }
}

/// Builds the simulation with the bug in it and lets it look; gives what it says.
fn hunt(bug: &Bug, libraries: &Libraries, folder: &Path) -> String {
    for file in SOURCES {
        let source = std::fs::read_to_string(proto().join("src").join(file)).expect("the sources are there");
        let source = if file == bug.file { bug.plant(&source) } else { source };
        std::fs::write(folder.join(file), source).expect("a temporary file can be written");
    }
    let says = look(&libraries.compile(folder, "0"), 0..FEW);
    if says.starts_with("holds") { look(&libraries.compile(folder, "1"), FEW..SEEDS) } else { says }
}

/// Runs the seeds; gives what the program says.
fn look(program: &Path, seeds: std::ops::Range<u64>) -> String {
    let seeds = [seeds.start, seeds.end].map(|seed| seed.to_string());
    let output = Command::new(program).args(seeds).output().expect("what was built runs");
    let says = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8_lossy(&says).trim().to_owned()
}

/// Where that bug is planted: in the target folder, made new.
fn folder(number: usize) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("planted-{number}"));
    std::fs::create_dir_all(folder.join("flow")).expect("the target folder can be written");
    folder
}

fn proto() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a copy of the simulation links to.
#[derive(Debug)]
struct Libraries {
    meshproof_proto: PathBuf,
    thiserror: PathBuf,
}

impl Libraries {
    /// The crate itself, for everything without a bug, and what its sources need. Cargo says where they are.
    fn build() -> Self {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", "meshproof-proto", "--lib", "--locked", "--message-format", "json"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = cargo.current_dir(proto()).output().expect("cargo runs, as it runs this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let artifacts: Vec<serde_json::Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let library = |name: &str| {
            let named = artifacts.iter().filter(|artifact| artifact["target"]["name"] == name);
            let files = named.filter_map(|artifact| artifact["filenames"].as_array()).flatten();
            let rlib = files.filter_map(|file| file.as_str()).rfind(|file| file.ends_with(".rlib"));
            PathBuf::from(rlib.unwrap_or_else(|| panic!("cargo built no {name}")))
        };
        Self { meshproof_proto: library("meshproof_proto"), thiserror: library("thiserror") }
    }

    /// Compiles the simulation against the sources in that folder.
    fn compile(&self, folder: &Path, opt_level: &str) -> PathBuf {
        let (main, program) = (folder.join("main.rs"), folder.join("hunt"));
        std::fs::write(&main, main_source()).expect("a temporary file can be written");
        let dependencies = self.thiserror.parent().expect("a library is in a folder");
        let extern_of = |name: &str, path: &Path| format!("{name}={}", path.display());
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc
            .args(["--edition", "2024", "--cap-lints", "allow", "-C", "overflow-checks=on"])
            .args(["-C", &format!("opt-level={opt_level}"), "-o"])
            .arg(&program)
            .arg("-L")
            .arg(format!("dependency={}", dependencies.display()))
            .args(["--extern", &extern_of("meshproof_proto", &self.meshproof_proto)])
            .args(["--extern", &extern_of("thiserror", &self.thiserror)])
            .arg(&main);
        let output = rustc.output().expect("rustc runs, as it built this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        program
    }
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
