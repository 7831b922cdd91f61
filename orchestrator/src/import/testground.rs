//! Testground's `manifest.toml` and `composition.toml` as a plan: <https://docs.testground.ai/writing-test-plans/test-structure>,
//! `pkg/api` of <https://github.com/testground/testground>.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use thiserror::Error;
use toml::{Table, Value};

use super::Imported;

/// The files say nothing that a plan can be made of.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error("{file}: {}", cause.message())]
    Toml { file: &'static str, cause: toml::de::Error },
    #[error("{MANIFEST} has no test case `{case}`; it has {has}")]
    NoCase { case: String, has: String },
    #[error(
        "{COMPOSITION} has several runs, and a plan starts the same members for each of its tests; say with --run which: {0}"
    )]
    WhichRun(String),
    #[error("{COMPOSITION} has no run `{run}`; it has {has}")]
    NoRun { run: String, has: String },
    #[error("group `{group}` of a run is none of {COMPOSITION}'s")]
    NoGroup { group: String },
    #[error("group `{group}` has neither a count nor a percentage of instances")]
    NoInstances { group: String },
    #[error(
        "builder `{builder}` makes an image, and here a program runs; say with --exec which, as in --exec 'node ping.js'"
    )]
    NoProgram { builder: String },
    #[error("`{0}` holds `${{{{`, which is an expression in a plan")]
    Expression(String),
}

const MANIFEST: &str = "manifest.toml";
const COMPOSITION: &str = "composition.toml";

#[derive(Debug, Deserialize)]
struct Manifest {
    name: String,
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    testcases: Vec<TestCase>,
}

#[derive(Debug, Default, Deserialize)]
struct Defaults {
    builder: Option<String>,
    runner: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TestCase {
    name: String,
    #[serde(default)]
    params: BTreeMap<String, Param>,
}

#[derive(Debug, Deserialize)]
struct Param {
    default: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Composition {
    global: Global,
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    runs: Vec<Run>,
}

#[derive(Debug, Deserialize)]
struct Global {
    case: String,
    builder: Option<String>,
    runner: Option<String>,
    total_instances: Option<u32>,
    #[serde(default)]
    run: RunParams,
}

#[derive(Clone, Debug, Deserialize)]
struct Group {
    id: String,
    /// In a run: which of the composition's groups, if it is called differently.
    group_id: Option<String>,
    builder: Option<String>,
    #[serde(default)]
    instances: Instances,
    #[serde(default)]
    run: RunParams,
    /// In a run.
    #[serde(default)]
    test_params: Params,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Instances {
    count: u32,
    percentage: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RunParams {
    test_params: Params,
}

#[derive(Debug, Deserialize)]
struct Run {
    #[serde(default)]
    id: String,
    total_instances: Option<u32>,
    #[serde(default)]
    test_params: Params,
    groups: Vec<Group>,
}

type Params = BTreeMap<String, Value>;

/// What people say beside the files.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The program that instances run, as a line of a shell's words.
    pub exec: Option<String>,
    pub run: Option<String>,
}

/// Of these texts.
///
/// # Errors
/// They are no such files, or lack what a plan needs.
pub fn import((manifest, composition): (&str, &str), wishes: &Wishes) -> Result<Imported, ImportError> {
    let tables = (table(MANIFEST, manifest)?, table(COMPOSITION, composition)?);
    let manifest: Manifest = read(MANIFEST, &tables.0)?;
    let composition: Composition = read(COMPOSITION, &tables.1)?;
    let case = case(&manifest, &composition.global.case)?;
    let members = Members::of(&composition, wishes.run.as_deref())?;
    let builder = composition.global.builder.as_deref().or(manifest.defaults.builder.as_deref()).unwrap_or_default();
    let runner = composition.global.runner.as_deref().or(manifest.defaults.runner.as_deref()).unwrap_or_default();
    let mut plan = format!("meshproof: 1\nplan: {}\n", fitting(&manifest.name));
    let builds = wishes.exec.is_none().then(|| build(builder)).flatten();
    plan += &builds.map(|line| format!("build: {{ argv: {line} }}\n")).unwrap_or_default();
    if runner != "local:exec" {
        plan += "network: { egress: host }\n";
    }
    plan += &members.total.map(|total| format!("members: {total}\n")).unwrap_or_default();
    plan += "groups:\n";
    for group in &members.groups {
        let builder = group.builder.as_deref().unwrap_or(builder);
        let argv = program(builder, wishes)?;
        let _ =
            writeln!(plan, "  {}:\n    count: {}\n    exec: {{ argv: {argv} }}", fitting(&group.id), group.count()?);
        let params = params(case, &composition, (&members, group))?;
        if !params.is_empty() {
            let _ = writeln!(plan, "    params: {{ {} }}", params.join(", "));
        }
    }
    let all: Vec<String> = members.groups.iter().map(|group| format!("{}: all", fitting(&group.id))).collect();
    let _ = write!(
        plan,
        "tests:\n  - id: {}\n    pass-when: {{ {} }}\n    steps: [{{ say: each instance is judged by what it says of itself }}]\n",
        fitting(&case.name),
        all.join(", ")
    );
    Ok(Imported { plan, became: became(&tables, (builder, runner), &members) })
}

fn table(file: &'static str, text: &str) -> Result<Table, ImportError> {
    text.parse().map_err(|cause| ImportError::Toml { file, cause })
}

fn read<T: for<'de> Deserialize<'de>>(file: &'static str, table: &Table) -> Result<T, ImportError> {
    T::deserialize(table.clone()).map_err(|cause| ImportError::Toml { file, cause })
}

fn case<'m>(manifest: &'m Manifest, name: &str) -> Result<&'m TestCase, ImportError> {
    manifest.testcases.iter().find(|case| case.name == name).ok_or_else(|| ImportError::NoCase {
        case: name.to_owned(),
        has: named(manifest.testcases.iter().map(|case| case.name.as_str())),
    })
}

fn named<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The groups of the run that becomes the plan.
#[derive(Debug)]
struct Members {
    groups: Vec<Group>,
    total: Option<u32>,
    /// Of the run, if the composition has runs.
    params: Params,
    run: Option<String>,
}

impl Members {
    fn of(composition: &Composition, wanted: Option<&str>) -> Result<Self, ImportError> {
        let runs = &composition.runs;
        let has = || named(runs.iter().map(|run| run.id.as_str()));
        let run = match (runs.as_slice(), wanted) {
            (_, Some(wanted)) => runs
                .iter()
                .find(|run| run.id == wanted)
                .map(Some)
                .ok_or_else(|| ImportError::NoRun { run: wanted.to_owned(), has: has() })?,
            ([], None) => None,
            ([one], None) => Some(one),
            (_, None) => return Err(ImportError::WhichRun(has())),
        };
        let Some(run) = run else {
            let total = composition.global.total_instances.filter(|_| shares(&composition.groups));
            return Ok(Self { groups: composition.groups.clone(), total, params: Params::new(), run: None });
        };
        let groups =
            run.groups.iter().map(|group| group.based_on(&composition.groups)).collect::<Result<Vec<_>, _>>()?;
        let total = run.total_instances.or(composition.global.total_instances).filter(|_| shares(&groups));
        Ok(Self { groups, total, params: run.test_params.clone(), run: Some(run.id.clone()) })
    }
}

fn shares(groups: &[Group]) -> bool {
    groups.iter().any(|group| group.instances.count == 0)
}

impl Group {
    /// A run's group takes what it does not say itself from that of the composition.
    fn based_on(&self, groups: &[Self]) -> Result<Self, ImportError> {
        let id = self.group_id.as_ref().unwrap_or(&self.id);
        let base = groups.iter().find(|group| group.id == *id);
        let base = base.ok_or_else(|| ImportError::NoGroup { group: id.clone() })?;
        let is_empty = self.instances.count == 0 && self.instances.percentage == 0.0;
        let instances = if is_empty { base.instances } else { self.instances };
        Ok(Self { instances, builder: base.builder.clone(), run: base.run.clone(), ..self.clone() })
    }

    fn count(&self) -> Result<String, ImportError> {
        match self.instances {
            Instances { count: 1.., .. } => Ok(self.instances.count.to_string()),
            // Testground's are shares of one
            Instances { percentage, .. } if percentage > 0.0 => Ok(format!("{}%", percentage * 100.0)),
            Instances { .. } => Err(ImportError::NoInstances { group: self.id.clone() }),
        }
    }
}

/// Those of the test case, and over them what composition, group and run say.
fn params(
    case: &TestCase,
    composition: &Composition,
    (members, group): (&Members, &Group),
) -> Result<Vec<String>, ImportError> {
    let defaults = case.params.iter().filter_map(|(name, param)| Some((name, param.default.as_ref()?)));
    let said = [&composition.global.run.test_params, &group.run.test_params, &members.params, &group.test_params];
    let all: BTreeMap<&String, &Value> = defaults.chain(said.into_iter().flatten()).collect();
    let pair = |(name, value): (&String, &Value)| {
        let text = text(value);
        match text.contains("${{") {
            true => Err(ImportError::Expression(name.clone())),
            false => Ok(format!("{}: {}", quoted(name), quoted(&text))),
        }
    };
    all.into_iter().map(pair).collect()
}

/// As Testground hands a parameter to its instances: a text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| serde_json::json!(value).to_string(), str::to_owned)
}

/// What a builder of Testground's does, where it makes a program.
fn build(builder: &str) -> Option<&'static str> {
    match builder {
        "exec:go" | "docker:go" => Some("[go, build, -o, testplan, .]"),
        "docker:node" => Some("[npm, ci]"),
        _ => None,
    }
}

fn program(builder: &str, wishes: &Wishes) -> Result<String, ImportError> {
    let words = |line: &String| {
        let words: Vec<String> = line.split_whitespace().map(quoted).collect();
        format!("[{}]", words.join(", "))
    };
    match (&wishes.exec, builder) {
        (Some(line), _) if line.contains("${{") => Err(ImportError::Expression("--exec".to_owned())),
        (Some(line), _) => Ok(words(line)),
        (None, "exec:go" | "docker:go") => Ok("[\"${{ plan.dir }}/testplan\"]".to_owned()),
        (None, "docker:node") => Ok("[npm, start, --prefix, \"${{ plan.dir }}\"]".to_owned()),
        (None, other) => Err(ImportError::NoProgram { builder: other.to_owned() }),
    }
}

/// As YAML, of which JSON's texts are a part.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name as plans have them.
fn fitting(name: &str) -> String {
    let fits = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(fits).take(crate::plan::limits::MAX_NAME_CHARS - 2).collect();
    match name.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => name,
        _ => format!("t-{name}"),
    }
}

fn became(
    (manifest, composition): &(Table, Table),
    (builder, runner): (&str, &str),
    members: &Members,
) -> Vec<(String, String)> {
    let mut became: Vec<(String, String)> = Vec::new();
    let mut say = |key: String, text: &str| became.push((key, text.to_owned()));
    for key in manifest.keys() {
        let text = match key.as_str() {
            "name" => "is `plan`",
            "defaults" => "counts where the composition names no builder or runner",
            "testcases" => "is the test that the composition names; its params' defaults are `params`",
            "builders" | "runners" | "extra_sources" => "is left out: a plan has one way to build and to run",
            _ => "is not known and left out",
        };
        say(format!("manifest {key}"), text);
    }
    for (key, value) in composition {
        match (key.as_str(), value) {
            ("global", Value::Table(global)) => {
                for key in global.keys() {
                    let text = of_global(key, (builder, runner));
                    say(format!("global.{key}"), &text);
                }
            }
            ("metadata", _) => say(key.clone(), "is left out"),
            ("groups", _) => say(key.clone(), "is `groups`; `resources`, `build_config` and `profiles` are left out"),
            ("runs", _) => {
                let run = members.run.as_deref().unwrap_or_default();
                say(key.clone(), &format!("is the run `{run}` alone"));
            }
            _ => say(key.clone(), "is not known and left out"),
        }
    }
    became
}

fn of_global(key: &str, (builder, runner): (&str, &str)) -> String {
    match key {
        "plan" => "is left out: the manifest's name is `plan`".to_owned(),
        "case" => "is the test".to_owned(),
        "builder" => match build(builder) {
            Some(line) => format!("is `build`, {line}: what `{builder}` does"),
            None => format!("is left out: `{builder}` makes an image, and here programs run"),
        },
        "runner" if runner == "local:exec" => {
            "is how every plan runs: on this machine, without a data network".to_owned()
        }
        "runner" => format!("is `network`: instances of `{runner}` have a network of their own"),
        "total_instances" => "is `members`, where groups are shares".to_owned(),
        "run" => "is in every group's `params`".to_owned(),
        _ => "is left out".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Inputs, check};

    const MANIFEST: &str = r#"
        name = "network"
        [defaults]
        builder = "exec:go"
        runner = "local:docker"
        [builders."docker:go"]
        enabled = true
        [[testcases]]
        name = "ping-pong"
        instances = { min = 2, max = 2, default = 2 }
        [testcases.params]
        max_latency_ms = { type = "int", desc = "at most", unit = "ms", default = 1000 }
        word = { type = "string", default = "never" }
    "#;
    const COMPOSITION: &str = r#"
        [metadata]
        name = "all"
        [global]
        plan = "network"
        case = "ping-pong"
        builder = "docker:go"
        total_instances = 10
        [global.run.test_params]
        word = "ever"
        [[groups]]
        id = "Early Ones"
        instances = { percentage = 0.3 }
        [[groups]]
        id = "late"
        instances = { count = 7 }
        [groups.run.test_params]
        word = "late: \"quoted\""
    "#;

    fn made(composition: &str, wishes: &Wishes) -> Result<Imported, ImportError> {
        import((MANIFEST, composition), wishes)
    }

    #[test]
    fn a_composition_becomes_a_plan_that_is_right() {
        let imported = made(COMPOSITION, &Wishes::default()).expect("good files");
        let checked = check("plan.yaml", imported.plan.as_bytes(), &Inputs::default());
        let plan = checked.plan.unwrap_or_else(|mistakes| panic!("{}\n{mistakes:?}", imported.plan));
        assert_eq!(plan.name.as_str(), "network");
        assert!(plan.network.is_some(), "instances of containers have a network of their own");
        let members: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(members.len(), 10, "{members:?}");
        let params = |service: usize| {
            let member = plan.services[service].member.as_ref().expect("a member");
            member.params.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!((params(0), params(9)), (vec!["max_latency_ms", "word"], vec!["max_latency_ms", "word"]));
        assert!(imported.plan.contains(r#"params: { "max_latency_ms": "1000", "word": "ever" }"#), "{}", imported.plan);
        assert!(imported.plan.contains(r#""word": "late: \"quoted\"""#), "{}", imported.plan);
        let keys: Vec<&str> = imported.became.iter().map(|(key, _)| key.as_str()).collect();
        for key in ["manifest name", "manifest builders", "metadata", "global.builder", "global.run", "groups"] {
            assert!(keys.contains(&key), "{keys:?}");
        }
    }

    #[test]
    fn of_several_runs_one_is_said_and_takes_what_it_does_not_say_from_the_groups() {
        let runs = format!(
            "{COMPOSITION}\n[[runs]]\nid = \"a\"\n[[runs.groups]]\nid = \"late\"\n[[runs]]\nid = \"b\"\ntest_params = {{ word = \"b\" }}\n\
             [[runs.groups]]\nid = \"others\"\ngroup_id = \"late\"\ninstances = {{ count = 2 }}\n"
        );
        let which = made(&runs, &Wishes::default()).expect_err("two runs").to_string();
        assert!(which.ends_with("say with --run which: a, b"), "{which}");
        let of = |run: &str| made(&runs, &Wishes { run: Some(run.to_owned()), ..Wishes::default() });
        assert!(of("a").expect("a run").plan.contains("late:\n    count: 7"));
        let b = of("b").expect("a run").plan;
        assert!(b.contains("others:\n    count: 2") && b.contains(r#""word": "b""#), "{b}");
        assert!(of("c").expect_err("no run").to_string().ends_with("has no run `c`; it has a, b"));
    }

    #[test]
    fn what_no_plan_can_be_made_of_is_said() {
        let changed = |from: &str, to: &str| COMPOSITION.replace(from, to);
        for (composition, said) in [
            ("[global".to_owned(), "composition.toml: "),
            (changed("ping-pong", "pong"), "manifest.toml has no test case `pong`; it has ping-pong"),
            (changed("docker:go", "docker:generic"), "builder `docker:generic` makes an image"),
            (changed("{ count = 7 }", "{ }"), "group `late` has neither a count nor a percentage"),
            (changed("\"ever\"", "\"${{ x }}\""), "`word` holds `${{`"),
        ] {
            let error = made(&composition, &Wishes::default()).expect_err(said).to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let exec = Wishes { exec: Some("node ping.js".to_owned()), ..Wishes::default() };
        let generic = made(&changed("docker:go", "docker:generic"), &exec).expect("its program is said");
        assert!(
            generic.plan.contains(r#"argv: ["node", "ping.js"]"#) && !generic.plan.contains("build:"),
            "{}",
            generic.plan
        );
    }
}
