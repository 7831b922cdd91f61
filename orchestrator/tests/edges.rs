//! The architecture's rules, checked by a tool: which crate depends on which, and who knows whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Crate to the crates of this workspace that it depends on.
type Edges = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the workspace").to_owned()
}

/// Rows of the table in docs/architecture.md: `| crate | may depend on |`.
fn table() -> Edges {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).expect("docs/architecture.md is there");
    let rows = text.lines().skip_while(|line| !line.starts_with("| crate |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, edges, _] = cells[..] else { panic!("a row has two cells: {row}") };
        let edges = edges.split([' ', ',']).filter(|edge| !edge.is_empty() && *edge != "-");
        (name.to_owned(), edges.map(str::to_owned).collect())
    })
    .collect()
}

fn metadata() -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(root());
    let output = command.output().expect("cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

/// The workspace's own edges; those that only tests need are no part of the architecture.
fn edges(metadata: &Value) -> Edges {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]).into_iter();
    packages
        .map(|package| {
            let ours = list(&package["dependencies"]).into_iter().filter(|edge| edge["path"].is_string());
            let ours = ours.filter(|edge| edge["kind"] != "dev");
            let names = ours.map(|edge| edge["name"].as_str().expect("a dependency has a name").to_owned());
            (package["name"].as_str().expect("a package has a name").to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn crates_depend_on_each_other_as_the_architecture_says() {
    assert_eq!(edges(&metadata()), table());
}

#[test]
fn only_the_local_environment_the_keeper_and_the_command_tree_know_agent_and_signaling() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 20, "there are sources below {}", src.display());
    let may = |file: &Path| {
        let first = file.strip_prefix(&src).ok().and_then(|path| path.iter().next());
        let first = first.and_then(|name| name.to_str()).unwrap_or_default();
        ["local", "keeper", "cli"].contains(&first.trim_end_matches(".rs"))
    };
    for file in files.iter().filter(|file| !may(file)) {
        let text = std::fs::read_to_string(file).expect("a source is text");
        for name in ["meshproof_agent", "meshproof_signaling"] {
            assert!(!text.contains(name), "{} names {name}", file.display());
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
        match entry.path() {
            path if path.is_dir() => collect(&path, files),
            path => files.push(path),
        }
    }
}

/// A queue whose size stands nowhere grows until the machine has no memory, and one that stands in its file is found by nobody who
/// asks what a peer may cost.
#[test]
fn every_queue_has_a_size_that_stands_in_a_file_of_limits() {
    let mut files = Vec::new();
    let packages = ["proto", "proto/mesh", "proto/health", "agent", "signaling", "orchestrator", "deploy/operator"];
    for package in packages {
        collect(&root().join(package).join("src"), &mut files);
    }
    let is_limits = |file: &&PathBuf| file.file_name().is_some_and(|name| name == "limits.rs");
    let is_code = |file: &&PathBuf| !file.iter().any(|part| part == "tests" || part == "tests.rs");
    let read = |file: &PathBuf| std::fs::read_to_string(file).expect("a source is text");
    let limits: String = files.iter().filter(is_limits).map(read).collect();
    let mut queues = 0;
    for file in files.iter().filter(is_code) {
        let text = read(file);
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let endless = ["unbounded_channel", "mpsc::unbounded", "channel::unbounded", "flume::unbounded"];
        for (at, line) in code.lines().enumerate() {
            let place = format!("{}:{}", file.display(), at + 1);
            assert!(!endless.iter().any(|way| line.contains(way)), "{place}: a queue without an end: {line}");
            for size in queue_sizes(line) {
                queues += 1;
                let named = limits.contains(&format!("const {}: usize", size.trim_start_matches("limits::")));
                // one place, for the one thing that is ever told
                assert!(named || size == "1", "{place}: `{size}` is in no limits.rs");
            }
        }
    }
    assert!(queues > 30, "only {queues} queues were found");
}

/// What stands in the brackets of a queue that is made in this line.
fn queue_sizes(line: &str) -> impl Iterator<Item = &str> {
    let kinds = ["mpsc::channel", "broadcast::channel", "mpsc::sync_channel"];
    let made = kinds.into_iter().filter_map(|kind| line.split_once(kind));
    made.filter_map(|(_, rest)| rest.split_once('(')?.1.split_once(')')).map(|(size, _)| size)
}

/// What else is asked of crates stands in `deny.toml` and is checked by `.ci/deny`.
#[test]
fn every_dependency_is_from_the_registry_and_its_version_is_locked() {
    let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock")).expect("a lock").parse().expect("TOML");
    let packages = lock["package"].as_array().expect("a list");
    let text = |package: &toml::Value, key: &str| package.get(key).and_then(|value| value.as_str().map(str::to_owned));
    let ours: BTreeSet<String> = packages
        .iter()
        .filter(|package| text(package, "source").is_none())
        .filter_map(|package| text(package, "name"))
        .collect();
    let members = metadata()["packages"].as_array().cloned().unwrap_or_default();
    let members = members.iter().map(|package| package["name"].as_str().expect("a name").to_owned());
    assert_eq!(ours, members.collect());
    for package in packages {
        let Some(source) = text(package, "source") else { continue };
        assert!(source.starts_with("registry+"), "{package:?}: from elsewhere");
        assert!(text(package, "checksum").is_some(), "{package:?}: nothing says what it is");
    }
}
