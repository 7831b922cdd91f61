//! How bugs are planted: each goes into a copy of the sources, a simulation is built against it, and says what it finds. Of use to every
//! simulation; which sources, and what is built of them, is theirs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

/// Builds that run at once.
const AT_ONCE: usize = 2;

/// What cargo tells a test of its package. A build script that looks at them (`ring`'s does) would run again, and with it half of what the
/// tests beside this one are using be built anew.
const OF_A_PACKAGE: [&str; 5] = ["CARGO_MANIFEST", "CARGO_PKG_", "CARGO_CRATE_NAME", "CARGO_BIN_", "CARGO_PRIMARY_"];

/// One mistake.
#[derive(Debug)]
pub struct Bug {
    pub file: String,
    pub what: String,
    before: Vec<String>,
    after: Vec<String>,
}

/// Reads the list: a line `file: what`, then lines that begin with `-` and `+`; `#` begins a heading.
pub fn read(list: &str, sources: &[&str]) -> Vec<Bug> {
    let mut bugs: Vec<Bug> = Vec::new();
    for line in list.lines() {
        let title = line.split_once(": ").filter(|(file, _)| sources.contains(file));
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
    /// Copies these sources with the bug in them.
    pub fn plant_in(&self, sources: &[&str], from: &Path, to: &Path) {
        for file in sources {
            let source = std::fs::read_to_string(from.join(file)).expect("the sources are there");
            let source = if *file == self.file { self.plant(&source) } else { source };
            std::fs::write(to.join(file), source).expect("a temporary file can be written");
        }
    }

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

/// Hunts every bug; gives what was said of each, and tells it.
pub fn hunt_all(bugs: &[Bug], hunt: impl Fn(usize, &Bug) -> String + Sync) -> Vec<(&Bug, String)> {
    let queue = Mutex::new(bugs.iter().enumerate());
    let found = Mutex::new(vec![None; bugs.len()]);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("nothing panics while it is held").next();
                    let Some((number, bug)) = next else { return };
                    let says = hunt(number, bug);
                    found.lock().expect("nothing panics while it is held")[number] = Some(says);
                }
            });
        }
    });
    let found = found.into_inner().expect("a worker that panics ends the scope first");
    let said = bugs.iter().zip(found).map(|(bug, says)| (bug, says.expect("every bug was hunted")));
    said.inspect(|(bug, says)| println!("{}: {}\n    {}", bug.file, bug.what, shown(says))).collect()
}

/// The beginning of what was said.
pub fn shown(says: &str) -> String {
    says.chars().take(160).collect()
}

/// What cargo has built, or builds now.
#[derive(Debug)]
pub struct Built(Vec<Value>);

impl Built {
    /// By a command of cargo's, in a package's folder, in the profile of this test.
    pub fn by(arguments: &[&str], package: &Path) -> Self {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).args(["--locked", "--message-format", "json"]).current_dir(package);
        for (name, _) in std::env::vars_os() {
            if OF_A_PACKAGE.iter().any(|of| name.to_string_lossy().starts_with(of)) {
                cargo.env_remove(name);
            }
        }
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = cargo.output().expect("cargo runs, as it runs this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        Self(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Where that library is.
    pub fn library(&self, name: &str) -> PathBuf {
        let is_it = |artifact: &&Value| artifact["target"]["name"] == name && artifact["target"]["kind"][0] == "lib";
        let files = self.0.iter().filter(is_it).filter_map(|artifact| artifact["filenames"].as_array()).flatten();
        let rlib = files.filter_map(|file| file.as_str()).rfind(|file| file.ends_with(".rlib"));
        PathBuf::from(rlib.unwrap_or_else(|| panic!("cargo built no {name}")))
    }
}

/// Compiles a program of that source in a folder, with these libraries and the ones that they need.
pub fn compile((folder, source): (&Path, &str), libraries: &[(&str, PathBuf)], opt_level: &str) -> PathBuf {
    let (main, program) = (folder.join("main.rs"), folder.join("hunt"));
    std::fs::write(&main, source).expect("a temporary file can be written");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "--cap-lints", "allow", "-C", "overflow-checks=on"]);
    rustc.args(["-C", &format!("opt-level={opt_level}"), "-o"]).arg(&program);
    for (name, path) in libraries {
        let place = path.parent().expect("a library is in a folder");
        // a package's own libraries stand above those of others
        for dependencies in [place.join("deps"), place.to_owned()] {
            rustc.arg("-L").arg(format!("dependency={}", dependencies.display()));
        }
        rustc.arg("--extern").arg(format!("{name}={}", path.display()));
    }
    let output = rustc.arg(&main).output().expect("rustc runs, as it built this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// What a program says, or its last words: a panic is a find, too.
pub fn says(program: &Path, arguments: &[u64]) -> String {
    let arguments = arguments.iter().map(u64::to_string);
    let output = Command::new(program).args(arguments).output().expect("what was built runs");
    let says = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8_lossy(&says).trim().to_owned()
}

/// Where something is planted: in the target folder, with the folder that its sources need.
pub fn folder(target: &str, name: &str, needs: &str) -> PathBuf {
    let folder = Path::new(target).join(name);
    std::fs::create_dir_all(folder.join(needs)).expect("the target folder can be written");
    folder
}
