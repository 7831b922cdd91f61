//! The environment of `meshproof run` may hold a plan's secrets. Nothing that a run starts has them in its own.

use rustix::process::Signal;

use crate::processes::{self, Process};
use crate::scene::Scene;
use crate::session::{Session, Shown};

const PLAN: &str = r#"
meshproof: 1
plan: inherited
secrets:
  token: { description: the service gets it under another name }
  pepper: { env: VAULT_PEPPER, description: in a variable that the plan names }
  spare: { env: VAULT_SPARE, description: nothing asks for it }
build: { argv: [/bin/sh, -c, "env > FOLDER/build.env"] }
services:
  shop: { exec: { argv: [sleep, "1000"] }, env: { TOKEN: "${{ secrets.token }}", PEPPER: "${{ secrets.pepper }}" } }
tests:
  - id: looks
    steps:
      - at: shop
        exec: { shell: "env > FOLDER/step.env" }
      - say: it is here
      - expect: { log: shop.stdout, contains: never }
        eventually: 100s
"#;

/// What holds a secret, and the last one as if: no plan asks for it.
const HOLDING: [&str; 4] =
    ["MESHPROOF_SECRET_TOKEN", "VAULT_PEPPER", "VAULT_SPARE", "MESHPROOF_SECRET_OF_ANOTHER_PLAN"];

#[test]
fn what_holds_a_secret_in_the_environment_of_a_run_is_inherited_by_nothing_that_it_starts() {
    let scene = Scene::new();
    let folder = scene.path().to_str().expect("a plain path");
    let plan = scene.path().join("plan.yaml");
    std::fs::write(&plan, PLAN.replace("FOLDER", folder)).expect("room for a plan");
    let mut command = scene.run_command(&plan, "json");
    command.envs(HOLDING.map(|name| (name, "hunter2hunter2"))).env("VAULT_OTHER", "stays");
    let mut session = Session::start(command, Shown::Records);
    session.record("the step that speaks", |record| record["what"]["said"]["text"] == "it is here");
    let all = processes::mentioning(scene.path());
    session.signal(Signal::INT);
    session.end().assert_code(130);
    let has = |process: &Process, name: &&str| process.variable(name).is_some();
    let (run, started): (Vec<_>, Vec<_>) = all.iter().partition(|process| process.subcommand() == Some("run"));
    assert!(run.len() == 1 && HOLDING.iter().all(|name| has(run[0], name)), "the run was given them: {run:?}");
    for expected in ["keep", "signaling", "agent"] {
        assert!(started.iter().any(|process| process.subcommand() == Some(expected)), "{expected} is there");
    }
    let service = started.iter().find(|process| process.variable("TOKEN").is_some()).expect("the service is there");
    assert_eq!(service.variable("PEPPER"), Some("hunter2hunter2"), "the plan gives it, under a name of its own");
    for process in &started {
        let inherited: Vec<_> = HOLDING.iter().filter(|name| has(process, name)).collect();
        assert!(inherited.is_empty(), "{process:?} has {inherited:?}");
    }
    for file in ["build.env", "step.env"] {
        let printed = std::fs::read_to_string(scene.path().join(file)).expect("what was printed");
        assert!(printed.contains("PATH="), "{file}: {printed}");
        assert!(!HOLDING.iter().any(|name| printed.contains(name)), "{file}: {printed}");
        assert_eq!(
            printed.contains("VAULT_OTHER=stays"),
            file == "build.env",
            "of the rest a build has all, a step none"
        );
    }
    scene.assert_nothing_left();
}
