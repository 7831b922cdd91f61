//! The keys of a map, each asked for by name.

use super::values::{map, not_yet};
use super::{Heard, Reading};
use crate::plan::code::Code;
use crate::plan::diagnostic::{Diagnostic, one_of, quote};
use crate::plan::elsewhere;
use crate::plan::source::Span;
use crate::plan::tree::{Key, Node};

/// How a map is written that is often taken for something else.
fn example(noun: &'static str) -> &'static str {
    match noun {
        "exec" => "`{ argv: [PROGRAM, ARGUMENT] }`",
        "http" => "`{ get: /path }`",
        "tcp" | "ws" => "`{ send: TEXT }`",
        "grpc" => "`{ call: package.Service/Method }`",
        "a step" => "a verb and its modifiers, such as `{ http: { get: /healthz } }`",
        "a log" => "`{ file: PATH }`, or `{ listen: udp }`",
        "a parameter" => "`{ type: string, default: TEXT }`",
        "a secret" => "`{ env: VARIABLE }`, or `{}`; its value comes from outside of the plan",
        "a build command" => "`{ argv: [PROGRAM, ARGUMENT] }`",
        "subscribe" => "`{ topic: NAME, count: 1 }`, or the topic alone",
        "barrier" => "`{ name: NAME, of: all }`, or the name alone",
        "publish" => "`{ topic: NAME, value: VALUE }`",
        "repeat" => "`{ times: 3, steps: […] }`",
        "settle" => "`{ quiet: 1s, within: 10s }`",
        "stop" => "`{ signal: INT, grace: 3s }`",
        other => other,
    }
}

/// The keys of one map while it is read.
#[derive(Debug)]
pub struct Fields<'n> {
    cx: &'n Reading<'n>,
    span: Span,
    /// What the map is, for messages: `a stub`.
    noun: &'static str,
    entries: &'n [(Key, Node)],
    taken: Vec<bool>,
    asked: Vec<&'static str>,
    known_later: Vec<&'static str>,
    needed: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Begins to read a map. Anything else is reported.
    pub fn open(node: &'n Node, noun: &'static str, cx: &'n Reading<'n>) -> Option<Self> {
        let entries = map(node, example(noun), cx)?;
        let taken = vec![false; entries.len()];
        let fields = Self {
            cx,
            span: node.span,
            noun,
            entries,
            taken,
            asked: Vec::new(),
            known_later: Vec::new(),
            needed: Vec::new(),
        };
        Some(fields)
    }

    /// The place to blame for what is missing: the first key, or the empty map.
    #[must_use]
    pub fn span(&self) -> Span {
        self.entries.first().map_or(self.span, |(key, _)| key.span)
    }

    /// All of the map.
    #[must_use]
    pub fn whole(&self) -> Span {
        self.span
    }

    /// Where it reports to.
    #[must_use]
    pub fn reading(&self) -> &'n Reading<'n> {
        self.cx
    }

    /// Whether the key is there; it is not taken.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.name == name)
    }

    /// The key and its value, as they stand.
    pub fn entry(&mut self, name: &'static str) -> Option<(&'n Key, &'n Node)> {
        self.asked.push(name);
        let at = self.entries.iter().position(|(key, _)| key.name == name)?;
        self.taken[at] = true;
        Some((&self.entries[at].0, &self.entries[at].1))
    }

    /// Like `entry`, for a key that is not offered when another is misspelled.
    pub fn entry_quietly(&mut self, name: &str) -> Option<(&'n Key, &'n Node)> {
        let at = self.entries.iter().position(|(key, _)| key.name == name)?;
        self.taken[at] = true;
        Some((&self.entries[at].0, &self.entries[at].1))
    }

    /// The value of a key, as it stands.
    pub fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// The value of a key that may be left out.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        reader: impl FnOnce(&'n Node, &'n Reading<'n>) -> Option<T>,
    ) -> Option<T> {
        self.take(name).and_then(|node| reader(node, self.cx))
    }

    /// The value of a key that must be there.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        reader: impl FnOnce(&'n Node, &'n Reading<'n>) -> Option<T>,
    ) -> Option<T> {
        self.needed.push(name);
        let Some(node) = self.take(name) else {
            self.missing(&format!("`{name}`"));
            return None;
        };
        reader(node, self.cx)
    }

    /// Reports something that must be there.
    pub fn missing(&self, what: &str) {
        let message = format!("{} needs {what}", self.noun);
        self.cx.report(Diagnostic::new(Code::MissingKey, self.span(), message).expected(format!("{what} beside this")));
    }

    /// Keys of the language that this version does not carry out: they are reported as such.
    pub fn later(&mut self, names: &[&'static str]) {
        self.known_later.extend(names);
        for at in 0..self.entries.len() {
            let (key, _) = &self.entries[at];
            if !self.taken[at] && names.contains(&key.name.as_str()) {
                self.taken[at] = true;
                self.cx.report(not_yet(key.span, &format!("`{}`", key.name)));
            }
        }
    }

    /// Whether all keys were asked for.
    #[must_use]
    pub fn rest_is_empty(&self) -> bool {
        self.taken.iter().all(|taken| *taken)
    }

    /// Ends the reading: every key that nobody asked for is reported.
    pub fn finish(self) {
        self.finish_with(|_, problem| problem);
    }

    /// Like `finish`, with a chance to say more about an unknown key.
    pub fn finish_with(self, improve: impl Fn(&Key, Diagnostic) -> Diagnostic) {
        self.cx.tell(|| Heard {
            noun: self.noun,
            span: self.span,
            keys: self.asked.clone(),
            needed: self.needed.clone(),
        });
        for (at, (key, _)) in self.entries.iter().enumerate() {
            if self.taken[at] {
                continue;
            }
            let message = format!("{} has no key {}", self.noun, quote(&key.name));
            let mut problem =
                Diagnostic::new(Code::UnknownKey, key.span, message).expected(one_of(self.asked.iter().copied()));
            let known = self.asked.iter().chain(&self.known_later).copied();
            problem = problem.did_you_mean(&key.name, known);
            if let Some(hint) = elsewhere::hint(&key.name, |word| self.asked.contains(&word)) {
                problem.help = Some(hint.to_owned());
            }
            if key.name == "<<" {
                problem.help = Some("merge keys went away with YAML 1.2; write the keys out".to_owned());
            }
            self.cx.report(improve(key, problem));
        }
    }
}
