//! An agent beside the containers of a Kubernetes workload: its manifest with one native sidecar more.
//!
//! Lines are put into the text and none is changed, so comments, order and spelling stay as somebody wrote them, and a diff shows what the
//! agent needs and nothing else. (Reading a manifest and writing it anew would also turn `yes` into something else: Kubernetes reads
//! YAML 1.1, we 1.2.)

mod manifest;
pub(crate) mod sidecar;

use meshproof_proto::id::Name;
use thiserror::Error;

use manifest::{Kind, Node};
pub use sidecar::Wishes;

/// The kinds that have pods, and where their specification stands.
const WORKLOADS: [(&str, &[&str]); 8] = [
    ("Pod", &["spec"]),
    ("Deployment", &["spec", "template", "spec"]),
    ("StatefulSet", &["spec", "template", "spec"]),
    ("DaemonSet", &["spec", "template", "spec"]),
    ("ReplicaSet", &["spec", "template", "spec"]),
    ("ReplicationController", &["spec", "template", "spec"]),
    ("Job", &["spec", "template", "spec"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
];

/// Why there is no agent.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotInjected {
    #[error("line {line}: this is not YAML: {why}")]
    Unreadable { line: usize, why: String },
    #[error("line {line}: {kind} `{name}` {problem}")]
    Workload { line: usize, kind: String, name: String, problem: String },
    #[error("there is no workload in it ({kinds} have pods){only}", kinds = WORKLOADS.map(|(kind, _)| kind).join(", "))]
    NoWorkload { only: String },
    #[error(
        "it has several workloads ({0}); say by --only which one the settings are for, or leave them out to give each an agent of its name"
    )]
    Several(String),
}

/// A manifest with agents.
#[derive(Debug, PartialEq, Eq)]
pub struct Injected {
    pub text: String,
    /// Each workload's agent, and the Secret in which it looks for its token.
    pub agents: Vec<(Name, String)>,
}

/// A workload that gets an agent.
struct Workload<'a> {
    kind: &'a str,
    name: &'a str,
    line: usize,
    pods: Option<&'a Node>,
}

/// Puts an agent beside the containers of each workload, or of the one called `only`.
///
/// # Errors
/// There is none, or nothing can be put into one as it is written.
pub fn inject(text: &str, only: Option<&str>, wishes: &Wishes) -> Result<Injected, NotInjected> {
    let documents = manifest::read(text)?;
    let workloads = documents.iter().filter_map(Workload::of);
    let workloads: Vec<_> = workloads.filter(|workload| only.is_none_or(|only| workload.name == only)).collect();
    if workloads.is_empty() {
        let only = only.map(|only| format!(", none called `{only}`")).unwrap_or_default();
        return Err(NotInjected::NoWorkload { only });
    }
    if workloads.len() > 1 && wishes.are_of_one() {
        let names: Vec<_> = workloads.iter().map(|workload| workload.name).collect();
        return Err(NotInjected::Several(names.join(", ")));
    }
    let mut lines = Vec::new();
    let mut agents = Vec::new();
    for workload in &workloads {
        agents.push(workload.insertions(text, wishes, &mut lines)?);
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut injected = String::with_capacity(text.len() + lines.iter().map(|(_, line)| line.len()).sum::<usize>());
    let mut done = 0;
    for (at, line) in lines {
        injected.push_str(&text[done..at]);
        injected.push_str(&line);
        done = at;
    }
    injected.push_str(&text[done..]);
    Ok(Injected { text: injected, agents })
}

impl<'a> Workload<'a> {
    /// None for documents of other kinds.
    fn of(document: &'a Node) -> Option<Self> {
        let kind = document.get("kind")?.text()?;
        let (_, path) = WORKLOADS.iter().find(|(workload, _)| *workload == kind)?;
        let name = document.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
        let pods = path.iter().try_fold(document, |node, key| node.get(key));
        Some(Self { kind, name: name.unwrap_or_default(), line: document.line, pods })
    }

    fn problem(&self, line: usize, problem: impl Into<String>) -> NotInjected {
        NotInjected::Workload { line, kind: self.kind.to_owned(), name: self.name.to_owned(), problem: problem.into() }
    }

    /// What is put where. Returns the agent, and its Secret.
    fn insertions(
        &self,
        text: &str,
        wishes: &Wishes,
        lines: &mut Vec<(usize, String)>,
    ) -> Result<(Name, String), NotInjected> {
        let agent: Name = match &wishes.name {
            Some(name) => name.clone(),
            None => self.name.parse().map_err(|error| {
                self.problem(self.line, format!("cannot lend its name to an agent: {error}; say one by --name"))
            })?,
        };
        let pods = self.pods.ok_or_else(|| self.problem(self.line, "has no specification of its pods"))?;
        let containers = pods.key("containers").ok_or_else(|| self.problem(pods.line, "has no containers"))?;
        if pods.is_flow() {
            return Err(self.problem(pods.line, "is written in braces; write its pods' specification line by line"));
        }
        let column = containers.column;
        let secret = wishes.secret.clone().unwrap_or_else(|| format!("meshproof-{agent}"));
        let before = |at: usize| text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let entries = [("initContainers", sidecar::container(&agent, wishes)), ("volumes", sidecar::volumes(&secret))];
        for (list, items) in entries {
            match pods.get(list).map(|node| (node, &node.kind)) {
                None => {
                    lines.push((
                        above_comments(text, before(containers.at)),
                        indented(column, &format!("{list}:\n{}", indented(2, &items))),
                    ));
                }
                Some((node, Kind::List(members))) if !node.is_flow() => {
                    let has_ours = |member: &Node| {
                        member.get("name").and_then(Node::text).is_some_and(|name| sidecar::NAMES.contains(&name))
                    };
                    if let Some(ours) = members.iter().find(|member| has_ours(member)) {
                        return Err(self.problem(ours.line, "has an agent already"));
                    }
                    let dash = members.first().and_then(|first| dash_of(text, first.at));
                    let Some(dash) = dash else { return Err(self.problem(node.line, unusual(list))) };
                    let line = before(dash);
                    lines.push((line, indented(text[line..dash].chars().count(), &items)));
                }
                Some((node, _)) => return Err(self.problem(node.line, unusual(list))),
            }
        }
        Ok((agent, secret))
    }
}

/// The beginning of the comments that stand directly above the line that begins at `line`: they are about it.
fn above_comments(text: &str, line: usize) -> usize {
    let mut begin = line;
    for above in text[..line].lines().rev().take_while(|above| above.trim_start().starts_with('#')) {
        begin -= above.len() + 1;
    }
    begin
}

fn unusual(list: &str) -> String {
    format!("has `{list}` in brackets; write them line by line")
}

/// The dash before a member of a list that stands at `at`, if nothing but room is between them.
fn dash_of(text: &str, at: usize) -> Option<usize> {
    let before = text[..at].trim_end();
    before.ends_with('-').then(|| before.len() - 1)
}

fn indented(by: usize, text: &str) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

/// The line that a byte stands on, for messages.
fn line_of(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}

#[cfg(test)]
mod tests;
