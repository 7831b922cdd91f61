//! Members of a real run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::member::{self, Kind, Told};

/// Who takes part.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Members of the group, each a process.
    pub programs: usize,
    /// What each of them does so many times side by side.
    pub at_each: usize,
    /// Members that share an agent.
    pub per_agent: usize,
}

impl Crowd {
    pub fn members(self) -> usize {
        self.programs * self.at_each
    }

    pub fn agents(self) -> usize {
        self.programs.div_ceil(self.per_agent)
    }
}

/// Links that agents keep before anybody needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    None,
    /// Each to six others.
    Regular,
}

/// A run that has passed, and what it left.
#[derive(Debug)]
pub struct Ran {
    place: TempDir,
    programs: usize,
}

impl Ran {
    pub fn out(&self) -> PathBuf {
        self.place.path().join("out")
    }

    pub fn told(&self) -> Told {
        Told::of((1..=self.programs).map(|number| printed(&self.out(), number)))
    }
}

pub fn run(kind: Kind, crowd: Crowd) -> Told {
    ran(kind, crowd, Links::None).told()
}

pub fn ran(kind: Kind, crowd: Crowd, links: Links) -> Ran {
    let place = TempDir::with_prefix("mp-").expect("a temporary folder");
    let this = std::env::current_exe().expect("this program has a path");
    let (members, Crowd { programs, at_each, per_agent }) = (crowd.members(), crowd);
    // a shell says which of them it is: the number behind the name of the group
    let line = format!(
        "exec {} {} {} $(( (${{HOSTNAME##*-}} - 1) * {at_each} )) {members} {at_each}",
        this.display(),
        member::CHILD,
        kind.word()
    );
    let topology = match links {
        Links::None => "",
        Links::Regular => "topology: { kind: regular, degree: 6 }\n",
    };
    let plan = format!(
        "meshproof: 1\nplan: sync\n{topology}groups:\n  members:\n    count: {programs}\n    per-agent: {per_agent}\n    exec: {{ argv: [sh, -c, {}] }}\n\
         tests:\n  - id: t\n    timeout: 5m\n    pass-when: {{ members: all }}\n    steps: [{{ say: begun }}]\n    \
         after: [{{ collect: [logs] }}]\n",
        serde_json::Value::from(line)
    );
    let (file, out) = (place.path().join("plan.yaml"), place.path().join("out"));
    std::fs::write(&file, plan).expect("a new file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    for (variable, folder) in [("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state")] {
        let folder = place.path().join(folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder takes folders");
        command.env(variable, folder);
    }
    command.arg("run").arg(&file).arg("--out").arg(&out).args(["--progress", "plain"]);
    let ended = command.stdin(Stdio::null()).output().expect("the binary was built with this bench");
    let said = || format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{}", said());
    Ran { place, programs }
}

fn printed(out: &Path, number: usize) -> String {
    let log = out.join(format!("logs/members-{number}/stdout.log"));
    std::fs::read_to_string(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()))
}
