//! Copies of `testdata` that tests may change: each a workspace of its own, below `target/tmp`, kept from one test run to the
//! next so that the services need not be built again.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scene::root;

const MANIFEST: &str = "[workspace]\nresolver = \"3\"\nmembers = [\"testdata/services\"]\n";

/// A workspace with the sample services.
pub struct Workspace(PathBuf);

impl Workspace {
    /// The one without changes, with its services built.
    pub fn base() -> Self {
        let base = Self::at("base");
        base.fill(None);
        let mut build = Command::new("cargo");
        build.args(["build", "--release", "-p", "services", "--quiet"]).current_dir(&base.0);
        let built = build.env_remove("CARGO_TARGET_DIR").status().expect("cargo runs this test");
        assert!(built.success(), "the sample services do not build: {built}");
        base
    }

    /// One in which a file of `testdata` holds something else. Its dependencies are those that the base has built.
    pub fn changed(base: &Self, name: &str, change: (&str, &str)) -> Self {
        let changed = Self::at(name);
        if !changed.0.join("target").exists() {
            // Before the sources: cargo takes what is older than its own files for built.
            std::fs::create_dir_all(&changed.0).expect("a new folder");
            let copied = Command::new("cp").arg("-a").args([base.0.join("target"), changed.0.join("target")]).status();
            assert!(copied.expect("every Debian has cp").success(), "the built dependencies cannot be copied");
        }
        changed.fill(Some(change));
        changed
    }

    fn at(name: &str) -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants").join(name))
    }

    /// Writes a plan beside the others, in a folder of its own; gives its path.
    pub fn plan(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join("testdata").join(name).join("plan.yaml");
        write(&path, text.as_bytes());
        path
    }

    fn fill(&self, change: Option<(&str, &str)>) {
        write(&self.0.join("Cargo.toml"), MANIFEST.as_bytes());
        write(&self.0.join("rust-toolchain.toml"), &read(&root().join("rust-toolchain.toml")));
        if !self.0.join("Cargo.lock").exists() {
            // Once: cargo takes out what no member needs.
            write(&self.0.join("Cargo.lock"), &read(&root().join("Cargo.lock")));
        }
        self.copy(Path::new("testdata/services"), change);
    }

    fn copy(&self, folder: &Path, change: Option<(&str, &str)>) {
        for entry in std::fs::read_dir(root().join(folder)).expect("testdata is there").flatten() {
            let place = folder.join(entry.file_name());
            match change {
                _ if entry.path().is_dir() => self.copy(&place, change),
                Some((file, text)) if place == Path::new("testdata").join(file) => {
                    write(&self.0.join(place), text.as_bytes());
                }
                _ => write(&self.0.join(place), &read(&entry.path())),
            }
        }
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file that holds this already stays as it is, so that cargo sees no change.
fn write(path: &Path, content: &[u8]) {
    if std::fs::read(path).is_ok_and(|there| there == content) {
        return;
    }
    std::fs::create_dir_all(path.parent().expect("it is in a workspace")).expect("a new folder");
    std::fs::write(path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
