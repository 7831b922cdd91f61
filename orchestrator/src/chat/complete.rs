//! What could stand at the end of a line: commands and options from the tree that parses them, and names that are known.

use clap::Command;

use crate::console::meant::group;

/// What is known by name.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub agents: Vec<String>,
    /// As `zone=eu`.
    pub labels: Vec<String>,
    pub stubs: Vec<String>,
    pub faults: Vec<String>,
    pub runs: Vec<String>,
    pub logs: Vec<String>,
    pub tests: Vec<String>,
    pub steps: Vec<String>,
}

/// The two trees of a chat.
#[derive(Clone, Debug)]
pub struct Trees {
    /// Behind `/`.
    pub commands: Command,
    /// Behind `@agent`.
    pub verbs: Command,
}

/// One word that could stand there instead of the last, which begins at this byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub from: usize,
    pub word: String,
    /// What it is, in a line.
    pub about: String,
}

/// All of them, in order.
#[must_use]
pub fn complete(line: &str, known: &Known, trees: &Trees) -> Vec<Candidate> {
    let from = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, last) = line.split_at(from);
    let words: Vec<&str> = before.split_whitespace().collect();
    let found = match (words.split_first(), last.chars().next()) {
        (None, Some('/')) => commands(&trees.commands, "/"),
        (None, Some('@')) => agents(known),
        (None, Some('#')) => runs(known),
        (None, _) => Vec::new(),
        (Some((first, rest)), _) if first.starts_with('@') => behind(&trees.verbs, rest, known),
        (Some((first, rest)), _) if first.starts_with('#') && rest.is_empty() => commands(&trees.commands, ""),
        (Some((first, rest)), _) => match first.strip_prefix('/') {
            Some("fault") => fault(rest, known),
            Some("heal") => named(["all"], "every fault that people began").into_iter().chain(faults(known)).collect(),
            Some(command) => behind(&trees.commands, &[&[command], rest].concat(), known),
            None => Vec::new(),
        },
    };
    let mut found: Vec<Candidate> = found
        .into_iter()
        .filter(|(word, _)| word.starts_with(last) && word != last)
        .map(|(word, about)| Candidate { from, word, about })
        .collect();
    found.sort_by(|left, right| left.word.cmp(&right.word));
    found.dedup_by(|left, right| left.word == right.word);
    found
}

type Words = Vec<(String, String)>;

fn commands(tree: &Command, sign: &str) -> Words {
    let shown = tree.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| (format!("{sign}{}", command.get_name()), about(command))).collect()
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn named<'n>(names: impl IntoIterator<Item = &'n str>, about: &str) -> Words {
    names.into_iter().map(|name| (name.to_owned(), about.to_owned())).collect()
}

fn agents(known: &Known) -> Words {
    let named = known.agents.iter().map(|agent| (format!("@{agent}"), "an agent".to_owned()));
    let groups = known.agents.iter().filter_map(|agent| group(agent));
    let groups = groups.map(|group| (format!("@{group}"), "the members of a group".to_owned()));
    let labels = known.labels.iter().map(|label| (format!("@{label}"), "agents with this label".to_owned()));
    named.chain(groups).chain(labels).chain([("@all".to_owned(), "every agent".to_owned())]).collect()
}

fn runs(known: &Known) -> Words {
    let named = known.runs.iter().map(|run| (format!("#{run}"), "a run".to_owned()));
    named.chain([("#last".to_owned(), "the last run".to_owned())]).collect()
}

fn faults(known: &Known) -> Words {
    named(known.faults.iter().map(String::as_str), "a fault of the plan")
}

/// Behind words of a tree: what stands below them, its options, and names that its arguments may have.
fn behind(tree: &Command, words: &[&str], known: &Known) -> Words {
    let mut command = tree;
    for word in words {
        if let Some(below) = command.find_subcommand(word) {
            command = below;
        }
    }
    let mut found = commands(command, "");
    let options = command.get_arguments().filter(|option| !option.is_hide_set());
    found.extend(options.filter_map(|option| {
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        Some((format!("--{}", option.get_long()?), help))
    }));
    for argument in command.get_arguments().filter(|argument| argument.get_long().is_none()) {
        let values = argument.get_possible_values();
        found.extend(
            values.iter().map(|value| {
                (value.get_name().to_owned(), value.get_help().map(ToString::to_string).unwrap_or_default())
            }),
        );
        found.extend(match argument.get_id().as_str() {
            "run" => named(known.runs.iter().map(String::as_str), "a run"),
            "log" => named(known.logs.iter().map(String::as_str), "a log"),
            "stub" => named(known.stubs.iter().map(String::as_str), "a stub"),
            "agent" | "between" => named(known.agents.iter().map(String::as_str), "an agent"),
            _ => Vec::new(),
        });
    }
    let valued: Option<(&Vec<String>, &str)> = match words.last() {
        Some(&("--between" | "--from")) => Some((&known.agents, "an agent")),
        Some(&"--test") => Some((&known.tests, "a test of the plan")),
        Some(&"--step") => Some((&known.steps, "a step of the plan")),
        _ => None,
    };
    if let Some((names, about)) = valued {
        found.extend(named(names.iter().map(String::as_str), about));
    }
    found
}

/// `traffic shop -> ledger latency 800ms for 30s`
fn fault(words: &[&str], known: &Known) -> Words {
    let services = || named(known.agents.iter().map(String::as_str), "a service");
    match words {
        [] => named(["traffic"], "between two services")
            .into_iter()
            .chain(named(["stub"], "a stub's replies"))
            .chain(faults(known))
            .collect(),
        ["traffic"] | ["traffic", _, _] => services(),
        ["traffic", _] => named(["->"], "one way").into_iter().chain(named(["<->"], "both ways")).collect(),
        ["stub"] => named(known.stubs.iter().map(String::as_str), "a stub"),
        ["traffic" | "stub", ..] => {
            let effects = super::disturbance::effects_known().map(|effect| (effect.to_owned(), "an effect".to_owned()));
            effects.chain(named(["for"], "how long")).collect()
        }
        [_, ..] => named(["for"], "how long"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::chat::verbs::ToAgents;

    fn words(line: &str) -> Vec<String> {
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let known = Known {
            agents: strings(&["shop", "ledger"]),
            labels: strings(&["zone=eu"]),
            stubs: strings(&["payments"]),
            faults: strings(&["ledger-cut"]),
            runs: strings(&["r-9d07"]),
            logs: strings(&["audit"]),
            tests: strings(&["converges"]),
            steps: strings(&["order", "settled"]),
        };
        let commands = Command::new("/")
            .subcommand(
                Command::new("who").about("Show who is there").arg(clap::Arg::new("json").long("json").num_args(0)),
            )
            .subcommand(
                Command::new("run").arg(clap::Arg::new("test").long("test")).arg(clap::Arg::new("step").long("step")),
            )
            .subcommand(Command::new("show").arg(clap::Arg::new("run")))
            .subcommand(Command::new("keep").hide(true));
        let trees = Trees { commands, verbs: ToAgents::command() };
        complete(line, &known, &trees).into_iter().map(|candidate| candidate.word).collect()
    }

    #[test]
    fn commands_agents_runs_options_and_kinds_of_faults_are_completed() {
        for (line, found) in [
            ("/", &["/run", "/show", "/who"][..]),
            ("/w", &["/who"]),
            ("/who --", &["--json"]),
            ("/run plan.yaml --step o", &["order"]),
            ("/run plan.yaml --test ", &["--step", "--test", "converges"]),
            ("/show r", &["r-9d07"]),
            ("@", &["@all", "@ledger", "@shop", "@zone=eu"]),
            ("@z", &["@zone=eu"]),
            ("@zone=eu ht", &["http"]),
            ("@shop h", &["http"]),
            ("@shop http p", &["patch", "post", "put"]),
            ("@shop http get / --f", &["--from"]),
            ("@shop http get / --from l", &["ledger"]),
            ("@ledger logs a", &["audit"]),
            ("#l", &["#last"]),
            ("#last s", &["show"]),
            ("/fault ", &["ledger-cut", "stub", "traffic"]),
            ("/fault traffic shop ", &["->", "<->"]),
            ("/fault traffic shop -> l", &["ledger"]),
            ("/fault traffic shop -> ledger la", &["latency"]),
            ("/fault stub p", &["payments"]),
            ("/heal ", &["all", "ledger-cut"]),
            ("hello w", &[]),
            ("", &[]),
        ] {
            assert_eq!(words(line), found, "{line}");
        }
    }
}
