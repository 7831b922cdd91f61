//! The steps of a run. There may be very many, and most of them are alike.

use std::collections::BTreeMap;

use super::Moment;
use crate::record::{Ending, Section, StepInfo};
use crate::report::limits::{LINE, STEPS};

/// What steps have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub test: String,
    pub id: Option<String>,
    pub title: String,
    /// None: the orchestrator.
    pub agent: Option<String>,
    pub line: usize,
    pub optional: bool,
    section: u8,
}

impl Kind {
    #[must_use]
    pub fn section(&self) -> Section {
        SECTIONS[usize::from(self.section)]
    }

    /// Who acts.
    #[must_use]
    pub fn who(&self) -> &str {
        self.agent.as_deref().unwrap_or(crate::record::ORCHESTRATOR)
    }

    /// Whether its duration says something about a service: it was asked, and nobody waited for something else.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.agent.is_some() && self.section() == Section::Steps && !self.title.starts_with("expect ")
    }
}

const SECTIONS: [Section; 7] = [
    Section::Ready,
    Section::Steps,
    Section::After,
    Section::Always,
    Section::Steady,
    Section::SteadyAfter,
    Section::Settle,
];

/// One that ended.
#[derive(Clone, Debug)]
pub struct Step {
    kind: u32,
    pub ended: Moment,
    pub duration_ms: f32,
    pub tries: u32,
    pub number: u32,
    pub of: u32,
    pub ending: Ending,
    pub why: Option<Box<str>>,
}

impl Step {
    #[must_use]
    pub fn began(&self) -> Moment {
        self.ended - f64::from(self.duration_ms)
    }
}

/// All of them, in the order in which they ended.
#[derive(Debug, Default)]
pub struct Steps {
    kinds: Vec<Kind>,
    known: BTreeMap<Kind, u32>,
    pub all: Vec<Step>,
    /// Steps beyond those.
    pub untold: u64,
    pub by_ending: BTreeMap<&'static str, u64>,
    /// Of those that did not pass, the optional ones.
    pub optional_missed: u64,
}

/// How a step ended, beside what it was.
pub(super) struct Ended<'e> {
    pub at: Moment,
    pub ending: Ending,
    pub duration_ms: f64,
    pub tries: u32,
    pub why: Option<&'e str>,
}

impl Steps {
    pub(super) fn take(&mut self, info: &StepInfo, ended: &Ended<'_>) {
        *self.by_ending.entry(word(ended.ending)).or_default() += 1;
        self.optional_missed += u64::from(info.optional && !matches!(ended.ending, Ending::Pass | Ending::Skipped));
        if self.all.len() >= STEPS {
            self.untold += 1;
            return;
        }
        let kind = self.kind_of(info);
        self.all.push(Step {
            kind,
            ended: ended.at,
            duration_ms: ended.duration_ms as f32,
            tries: ended.tries,
            number: u32::try_from(info.number).unwrap_or(u32::MAX),
            of: u32::try_from(info.of).unwrap_or(u32::MAX),
            ending: ended.ending,
            why: ended.why.map(|why| why.chars().take(LINE).collect::<String>().into_boxed_str()),
        });
    }

    /// What a step was.
    #[must_use]
    pub fn kind(&self, step: &Step) -> &Kind {
        &self.kinds[step.kind as usize]
    }

    fn kind_of(&mut self, info: &StepInfo) -> u32 {
        let section = SECTIONS.iter().position(|section| *section == info.section).unwrap_or_default();
        let kind = Kind {
            test: info.key.test.clone(),
            id: info.id.clone(),
            title: info.title.clone(),
            agent: info.agent.as_ref().map(ToString::to_string),
            line: info.line,
            optional: info.optional,
            section: u8::try_from(section).unwrap_or_default(),
        };
        if let Some(known) = self.known.get(&kind) {
            return *known;
        }
        let number = u32::try_from(self.kinds.len()).unwrap_or(u32::MAX);
        self.kinds.push(kind.clone());
        self.known.insert(kind, number);
        number
    }
}

/// As reports write it.
#[must_use]
pub fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Pass => "pass",
        Ending::Fail => "fail",
        Ending::Unknown => "unknown",
        Ending::Error => "error",
        Ending::Skipped => "skipped",
    }
}
