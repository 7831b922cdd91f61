//! One line of the plan or of a service is changed, and the run goes red at the one line that this breaks.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;

use serde::Deserialize;
use serde_json::Value;

use crate::journal::Journal;
use crate::scene::{CHECKOUT, Scene, root};
use crate::workspace::Workspace;

/// Runs at the same time. They wait more than they work: one of them sits 30 s out.
const AT_ONCE: usize = 4;

/// See the head of `testdata/mutants/mutants.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    file: String,
    find: String,
    replace: String,
    test: String,
    red: String,
}

impl Mutant {
    fn is_of_plan(&self) -> bool {
        format!("testdata/{}", self.file) == CHECKOUT
    }

    /// The text of its file with the change.
    fn changed(&self) -> String {
        let text = read(&format!("testdata/{}", self.file));
        assert_eq!(text.matches(&self.find).count(), 1, "{}: `find` stands exactly once in {}", self.name, self.file);
        text.replace(&self.find, &self.replace)
    }

    fn plan(&self) -> String {
        if self.is_of_plan() { self.changed() } else { read(CHECKOUT) }
    }

    /// The number of the line that goes red.
    fn red_line(&self) -> usize {
        let plan = self.plan();
        let mut places = plan.match_indices(&self.red).map(|(at, _)| plan[..at].matches('\n').count() + 1);
        match (places.next(), places.next()) {
            (Some(line), None) => line,
            _ => panic!("{}: `red` stands exactly once in the plan", self.name),
        }
    }

    /// Its place: the plan to run.
    fn make(&self, base: &Workspace) -> PathBuf {
        let name: String = self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        if self.is_of_plan() {
            return base.plan(&name, &self.plan());
        }
        Workspace::changed(base, &name, (&self.file, &self.changed())).plan("checkout", &self.plan())
    }

    /// Runs it; gives what is wrong with how it went red.
    fn run(&self, base: &Workspace) -> Result<(), String> {
        let plan = self.make(base);
        let scene = Scene::new();
        let ended = scene.run_plain(plan).end();
        let journal = Journal::read(&scene.out());
        let failures: Vec<&Value> = journal.all("failure").collect();
        let red: BTreeSet<_> = failures.iter().map(|failure| failure["place"]["line"].as_u64()).collect();
        let line = u64::try_from(self.red_line()).expect("plans are short");
        let bad: Vec<_> = journal.verdicts().into_iter().filter(|(_, verdict)| *verdict != "pass").collect();
        let wrong = |what: String| Err(format!("{}: {what}\n{}", self.name, ended.all()));
        match () {
            () if ended.code() != 1 => wrong(format!("it exits with {}", ended.code())),
            () if red != BTreeSet::from([Some(line)]) => wrong(format!("red at {red:?}, not at line {line}")),
            () if bad != [(self.test.as_str(), "fail")] => wrong(format!("what does not pass: {bad:?}")),
            () => Ok(()),
        }
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn each_of_the_ten_mutants_goes_red_at_the_line_it_names_and_at_no_other() {
    let mutants: Vec<Mutant> =
        serde_saphyr::from_str(&read("testdata/mutants/mutants.yaml")).expect("a list of mutants");
    assert_eq!(mutants.len(), 10);
    let base = Workspace::base();
    // Those that have to be built go first.
    let (of_plan, of_services): (Vec<_>, Vec<_>) = mutants.into_iter().partition(Mutant::is_of_plan);
    let queue = Mutex::new(of_services.into_iter().chain(of_plan).collect::<VecDeque<_>>());
    let next = || queue.lock().expect("nobody panics with it").pop_front();
    let work = || std::iter::from_fn(next).filter_map(|mutant| mutant.run(&base).err()).collect::<Vec<_>>();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a mutant's run")).collect()
    });
    assert!(wrong.is_empty(), "{} of 10:\n{}", wrong.len(), wrong.join("\n"));
}
