//! The planted bugs: each goes into a copy of the sources, the simulation is built against it, and must find it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::SEEDS;

const LIST: &str = include_str!("planted.diff");

/// The sources that bugs are planted in.
const SOURCES: [&str; 5] = ["conducted.rs", "log.rs", "outstanding.rs", "rebuilt.rs", "record.rs"];

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
fn every_bug_that_is_planted_in_the_memory_is_found() {
    let bugs = read(LIST);
    assert_eq!(bugs.len(), 18, "so many are in the list");
    let libraries = Libraries::find();
    let queue = Mutex::new(bugs.iter().enumerate());
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("nothing panics while it is held").next();
                    let Some((number, bug)) = next else { return };
                    let says = hunt(bug, &libraries, &folder(number));
                    let shown: String = says.chars().take(160).collect();
                    println!("{}: {}\n    {shown}", bug.file, bug.what);
                    if says.starts_with("holds") {
                        missed.lock().expect("nothing panics while it is held").push(bug.what.clone());
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("a worker that panics ends the scope first");
    assert!(missed.is_empty(), "{} planted bugs are not found: {missed:#?}", missed.len());
}

/// Reads the list: a line `file: what`, then lines that begin with `-` and `+`; `#` begins a heading.
fn read(list: &str) -> Vec<Bug> {
    let mut bugs: Vec<Bug> = Vec::new();
    for line in list.lines() {
        let title = line.split_once(": ").filter(|(file, _)| SOURCES.contains(file));
        match (title, bugs.last_mut()) {
            (Some((file, what)), _) => {
                bugs.push(Bug { file: file.to_owned(), what: what.to_owned(), before: Vec::new(), after: Vec::new() });
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
        let source =
            std::fs::read_to_string(crate_folder().join("src/memory").join(file)).expect("the sources are there");
        let source = if file == bug.file { bug.plant(&source) } else { source };
        std::fs::write(folder.join("memory").join(file), source).expect("a temporary file can be written");
    }
    let source = std::fs::read(crate_folder().join("src/memory.rs")).expect("the sources are there");
    std::fs::write(folder.join("memory.rs"), source).expect("a temporary file can be written");
    let program = libraries.compile(folder);
    let output = Command::new(program).arg(SEEDS.to_string()).output().expect("what was built runs");
    // A panic is a find, too.
    let says = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8_lossy(&says).trim().to_owned()
}

/// Where that bug is planted: in the target folder, made new.
fn folder(number: usize) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("planted-in-memory-{number}"));
    std::fs::create_dir_all(folder.join("memory")).expect("the target folder can be written");
    folder
}

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a copy of the simulation links to.
#[derive(Debug)]
struct Libraries(Vec<(&'static str, PathBuf)>);

impl Libraries {
    /// Cargo says where they are: as they were built for this test.
    fn find() -> Self {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--workspace", "--locked", "--no-run", "--test", "survival", "--message-format", "json"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = cargo.current_dir(crate_folder()).output().expect("cargo runs, as it runs this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let artifacts: Vec<serde_json::Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let library = |name: &'static str| {
            let is_it = |artifact: &&serde_json::Value| {
                artifact["target"]["name"] == name && artifact["target"]["kind"][0] == "lib"
            };
            let files =
                artifacts.iter().filter(is_it).filter_map(|artifact| artifact["filenames"].as_array()).flatten();
            let rlib = files.filter_map(|file| file.as_str()).rfind(|file| file.ends_with(".rlib"));
            (name, PathBuf::from(rlib.unwrap_or_else(|| panic!("cargo built no {name}"))))
        };
        Self(["meshproof", "meshproof_proto", "serde", "serde_json", "thiserror"].map(library).into())
    }

    /// Compiles the simulation against the sources in that folder.
    fn compile(&self, folder: &Path) -> PathBuf {
        let (main, program) = (folder.join("main.rs"), folder.join("hunt"));
        std::fs::write(&main, main_source()).expect("a temporary file can be written");
        let dependencies = self.0[0].1.parent().expect("a library is in a folder");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "--cap-lints", "allow", "-C", "overflow-checks=on", "-o"]).arg(&program);
        rustc.arg("-L").arg(format!("dependency={}", dependencies.join("deps").display()));
        rustc.arg("-L").arg(format!("dependency={}", dependencies.display()));
        for (name, path) in &self.0 {
            rustc.arg("--extern").arg(format!("{name}={}", path.display()));
        }
        let output = rustc.arg(&main).output().expect("rustc runs, as it built this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        program
    }
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
