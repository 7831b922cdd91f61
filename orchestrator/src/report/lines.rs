//! Records as lines: a word on the right of a column, then what it is about.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use meshproof_proto::event::{Evidence, Fact, Outcome, Usage};
use meshproof_proto::id::Name;
use meshproof_proto::order::FaultReport;
use meshproof_proto::sync::Ask;
use meshproof_proto::verdict::Verdict;

use super::html::HTML_FILE_NAME;
use super::junit::JUNIT_FILE_NAME;
use super::limits::DRAWN_SHOWN;
use super::sanitise::{cut, line as clean};
use super::style::{Style, Tone};
use super::{failure, summary, telling};
use crate::journal;
use crate::plan::Source;
use crate::record::{DrawnFault, Ending, Entry, Happening, ORCHESTRATOR, Section, StepInfo};

/// Width of the column with the word.
const WORD: usize = 9;

/// Characters of a test's name in front of its steps.
const TEST_NAME: usize = 16;

/// Makes the lines of one run.
#[derive(Debug)]
pub struct Lines {
    source: Arc<Source>,
    out: PathBuf,
    style: Style,
}

/// A line before it is painted: a word for what happened, and what there is to say about it, without anything that could drive
/// a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub tone: Tone,
    pub word: &'static str,
    /// One line, or several that each get the word.
    pub text: String,
}

impl Said {
    pub(super) fn new(tone: Tone, word: &'static str, text: String) -> Self {
        Self { tone, word, text }
    }

    fn painted(&self, style: Style) -> String {
        let lines = self.text.split('\n').map(|line| worded(style, self.tone, self.word, line));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// What is said of a record; none for what has no line or more than one.
#[must_use]
pub fn said(entry: &Entry) -> Option<Said> {
    match &entry.what {
        Happening::Fact(fact) => fact_said(&entry.from, fact),
        what => happening(what),
    }
}

/// The line of a record as it stands in files; none for what has no line or more than one.
#[must_use]
pub fn plain_line(what: &Happening) -> Option<String> {
    happening(what).map(|said| said.painted(Style::Plain))
}

impl Lines {
    #[must_use]
    pub fn new(source: Arc<Source>, out: PathBuf, style: Style) -> Self {
        Self { source, out, style }
    }

    /// What is shown of a record, each line with its break.
    #[must_use]
    pub fn of(&self, entry: &Entry) -> Option<String> {
        self.of_failure(entry).or_else(|| said(entry).map(|said| ended(said.painted(self.style))))
    }

    /// What is shown even to those who want quiet.
    #[must_use]
    pub fn of_failure(&self, entry: &Entry) -> Option<String> {
        match &entry.what {
            Happening::Failure(failed) => Some(format!("\n{}\n", failure::block(&self.source, failed, self.style))),
            Happening::RunEnded { verdict, summary: figures, .. } => {
                let tone = Tone::from(*verdict);
                let text = format!("{} {}", took(figures.duration_ms), summary::line(*verdict, figures));
                let mut text = ended(worded(self.style, tone, "Summary", &text));
                text += &self.reports();
                Some(text)
            }
            _ => None,
        }
    }

    /// Where the reports are.
    fn reports(&self) -> String {
        let line = |word, text: &str| ended(worded(self.style, Tone::Faint, word, text));
        if self.out.as_os_str().is_empty() {
            return line("reports", "are on the machine of whoever commanded it");
        }
        let files = [("reports", journal::FILE_NAME), ("", JUNIT_FILE_NAME), ("", HTML_FILE_NAME)];
        files.map(|(word, file)| line(word, &clean(&self.out.join(file).display().to_string()))).concat()
    }
}

fn ended(line: String) -> String {
    line + "\n"
}

fn worded(style: Style, tone: Tone, word: &str, text: &str) -> String {
    format!("{} {text}", style.paint(tone, &format!("{word:>WORD$}"))).trim_end().to_owned()
}

/// `[  0.812s]`
fn took(duration_ms: f64) -> String {
    format!("[{:>7.3}s]", duration_ms / 1000.0)
}

fn happening(what: &Happening) -> Option<Said> {
    let plain = |word: &'static str, text: String| Some(Said::new(Tone::Strong, word, text));
    let bad = |word: &'static str, text: String| Some(Said::new(Tone::Bad, word, text));
    match what {
        Happening::RunBegan { run, plan, file, seed, .. } => {
            plain("run", format!("{} of {plan} ({}), seed {seed}", clean(&run.0), clean(file)))
        }
        Happening::BuildBegan { command } => plain("build", clean(command)),
        Happening::BuildEnded { command, duration_ms, problem } => match problem {
            None => plain("built", format!("{} {}", took(*duration_ms), clean(command))),
            Some(problem) => bad("build", format!("{} {}: {}", took(*duration_ms), clean(command), clean(problem))),
        },
        Happening::AgentJoined { name, path, rtt_us } => {
            plain("joined", format!("{name} ({}, rtt {:.1} ms)", clean(path), *rtt_us as f64 / 1000.0))
        }
        Happening::MeshFormed { peers, duration_ms } => {
            plain("mesh", format!("of {peers} peers formed in {duration_ms:.0} ms"))
        }
        Happening::AgentLost { name, reason } => bad("lost", format!("{name}: {}", clean(reason))),
        Happening::FailoverDetected { agent, how, after_ms } => {
            let after = after_ms.map_or_else(String::new, |after| format!(", seen after {after:.0} ms"));
            bad("gone", format!("{agent}: {}{after}", clean(how)))
        }
        Happening::FailoverDecided { agent, term, after_ms, .. } => {
            plain("next", format!("{agent} has another instance at term {} after {after_ms:.0} ms", clean(term)))
        }
        Happening::FailoverComplete { agent, replayed, after_ms } => {
            plain("back", format!("{agent} after {after_ms:.0} ms, {replayed} events replayed"))
        }
        Happening::ServiceReady { service, duration_ms } => plain("ready", format!("{} {service}", took(*duration_ms))),
        Happening::ServiceEnded { service, how } => bad("ended", format!("{service}: {}", clean(how))),
        // what its rule makes of it is told with the test
        Happening::MemberEnded { member, why } => {
            Some(Said::new(Tone::Warning, "ended", format!("{member}: {}", clean(why.as_ref()?))))
        }
        Happening::StepEnded { step, ending, duration_ms, tries, why } => {
            step_said(step, &End { ending: *ending, duration_ms: *duration_ms, tries: *tries, why: why.as_deref() })
        }
        Happening::TestEnded { test, verdict, duration_ms } => {
            Some(Said::new(Tone::from(*verdict), word_of(*verdict), format!("{} {}", took(*duration_ms), clean(test))))
        }
        Happening::TestNotRun { test, why } => {
            Some(Said::new(Tone::Warning, "NOT RUN", format!("{}: {}", clean(test), clean(why))))
        }
        Happening::FaultBegan { fault, target, asked, lasts_ms, .. } => {
            let how_long = lasts_ms.map_or_else(String::new, |lasts| format!(", for {:.1}s", lasts as f64 / 1000.0));
            plain("fault", format!("{} began: {} on {}{how_long}", clean(fault), clean(asked), clean(target)))
        }
        Happening::FaultEnded(report) => Some(fault_said(report)),
        Happening::FaultsDrawn { schedule, seed, faults } => plain("fault", drawn_said(schedule, *seed, faults)),
        Happening::TakenOver { term, complete_ms, .. } => {
            plain("over", format!("another orchestrator goes on, at term {}, after {complete_ms:.0} ms", term.0))
        }
        Happening::Said { text } => plain("say", clean(text)),
        Happening::Noted { text } => Some(Said::new(Tone::Warning, "note", clean(text))),
        Happening::Expected { .. }
        | Happening::Initialized { .. }
        | Happening::ServiceStarted { .. }
        | Happening::Fact(_)
        | Happening::TestBegan { .. }
        | Happening::StepBegan(_)
        | Happening::Collected { .. }
        | Happening::Failure(_)
        | Happening::Invoked(_)
        | Happening::RunEnded { .. } => None,
    }
}

/// What went from agent to agent, and what the orchestrator's own links carried.
fn carried(from: &str, sent: &BTreeMap<Name, u64>, received: &BTreeMap<Name, u64>) -> Option<String> {
    let bytes = |bytes: u64| indicatif::DecimalBytes(bytes).to_string();
    if from == ORCHESTRATOR {
        let (sent, received) = (sent.values().sum(), received.values().sum());
        return Some(format!("by the orchestrator: {} sent, {} received", bytes(sent), bytes(received)));
    }
    let between = sent.iter().filter(|(peer, sent)| peer.as_str() != ORCHESTRATOR && **sent > 0);
    let between: Vec<String> =
        between.map(|(peer, sent)| format!("{} to {peer}: {}", clean(from), bytes(*sent))).collect();
    (!between.is_empty()).then(|| between.join(", "))
}

/// `0.1s of processor time, at most 12.3 MiB and 9 descriptors`
fn used(usage: &Usage) -> String {
    let seconds = usage.cpu_ms as f64 / 1000.0;
    let most = indicatif::BinaryBytes(usage.memory_most_bytes);
    format!("{seconds:.1}s of processor time, at most {most} and {} descriptors", usage.descriptors_most)
}

/// Of what agents report only links have lines; the rest is told when the run has made something of it.
fn fact_said(from: &str, fact: &Fact) -> Option<Said> {
    match fact {
        Fact::LinkAcknowledged { from: peer } => {
            Some(Said::new(Tone::Strong, "linked", format!("{peer} to {}", clean(from))))
        }
        Fact::LinkSuspect { peer, reason } => {
            let text = format!("{} to {peer} is suspect: {}", clean(from), clean(reason));
            Some(Said::new(Tone::Warning, "link", text))
        }
        Fact::Gap { lost } => {
            Some(Said::new(Tone::Bad, "gap", format!("{} could not keep {lost} events", clean(from))))
        }
        Fact::LinkBytes { sent, received } => Some(Said::new(Tone::Faint, "carried", carried(from, sent, received)?)),
        Fact::Used(usage) => Some(Said::new(Tone::Faint, "used", format!("by {}: {}", clean(from), used(usage)))),
        Fact::AgentUsed(usage) => {
            Some(Said::new(Tone::Faint, "used", format!("by agent {}: {}", clean(from), used(usage))))
        }
        Fact::Stalled { why } => {
            let text = format!("no step begins at {}: {}", clean(from), clean(why));
            Some(Said::new(Tone::Warning, "stalled", text))
        }
        Fact::GoesOn { after_ms } => {
            let text = format!("{} after {:.1}s: there is space again", clean(from), after_ms / 1_000.0);
            Some(Said::new(Tone::Warning, "goes on", text))
        }
        Fact::StubPurged { stub, by } => {
            let text = format!("{} was made to forget its calls by {by}", clean(stub));
            Some(Said::new(Tone::Warning, "stub", text))
        }
        Fact::Asked { by, line, .. } => {
            Some(Said::new(Tone::Warning, "asked", format!("{by} at {}: {}", clean(from), clean(line))))
        }
        Fact::Answered { by, outcome, duration_ms, .. } => {
            let (tone, how) = telling::outcome(outcome);
            Some(Said::new(tone, "did", format!("{} for {by} after {duration_ms:.1} ms: {how}", clean(from))))
        }
        Fact::Told { by, text } => Some(Said::new(Tone::Strong, "told", format!("{by}: {}", clean(text)))),
        Fact::StubCallsUntold { stub, calls } => {
            let text = format!("{} had {calls} more calls than its journal holds", clean(stub));
            Some(Said::new(Tone::Faint, "stub", text))
        }
        Fact::Printed { pipe, text, .. } => {
            let lines: Vec<String> = text.lines().map(|line| format!("{} | {}", clean(from), clean(line))).collect();
            (!lines.is_empty()).then(|| Said::new(Tone::Faint, pipe.word(), lines.join("\n")))
        }
        Fact::Mirrored { by, .. } => Some(Said::new(Tone::Faint, "mirror", telling::mirrored(from, by.len()))),
        Fact::FileHeld { .. } => Some(Said::new(Tone::Faint, "file", telling::file_held(from, fact)?)),
        Fact::ProgramAsked { ask, .. } => asked(from, ask),
        // what people read of stands alone
        Fact::ProgramsAsked { asked: all } => match &all[..] {
            [one] => asked(one.member.as_str(), &one.ask),
            _ => None,
        },
        // of a load that failed it stands below the failure
        Fact::StepEnded { result, .. } if result.outcome == Outcome::Ok => {
            let load = result.evidence.iter().find(|item| item.title == Evidence::LOAD)?;
            Some(Said::new(Tone::Faint, "load", format!("by {}: {}", clean(from), clean(&load.text))))
        }
        Fact::LinkOffered { .. }
        | Fact::Sampled(_)
        | Fact::StepStarted { .. }
        | Fact::StepEnded { .. }
        // the run says itself what becomes of it
        | Fact::Steered { .. }
        | Fact::StubCalled(_)
        | Fact::StubErred { .. }
        | Fact::FaultBegan { .. } => None,
        // the plan's are told as a whole
        Fact::FaultEnded(report) => is_of_person(&report.fault).then(|| fault_said(report)),
    }
}

/// Whether a fault has the name of a thread of some console's chat, as only persons' have.
fn asked(from: &str, ask: &Ask) -> Option<Said> {
    match ask {
        Ask::Said { text } => Some(Said::new(Tone::Faint, "says", format!("{} | {}", clean(from), clean(text)))),
        Ask::Network { wanted, .. } => {
            Some(Said::new(Tone::Faint, "network", format!("of {}: {}", clean(from), clean(&wanted.to_string()))))
        }
        Ask::Signal { .. }
        | Ask::Publish { .. }
        | Ask::Entries { .. }
        | Ask::Barrier { .. }
        | Ask::Subscribe { .. }
        | Ask::GiveUp { .. }
        | Ask::Ended(_)
        | Ask::Measured { .. } => None,
    }
}

fn is_of_person(fault: &str) -> bool {
    let number = fault.rsplit_once(".t").filter(|(by, _)| by.starts_with("console-")).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// As much of a schedule as a line shows; the journal has all of it.
fn drawn_said(schedule: &str, seed: u64, faults: &[DrawnFault]) -> String {
    let seconds = |millis: u64| millis as f64 / 1000.0;
    let one = |drawn: &DrawnFault| {
        format!("{} at {:.1}s for {:.1}s", clean(&drawn.fault), seconds(drawn.after_ms), seconds(drawn.lasts_ms))
    };
    let mut shown: Vec<String> = faults.iter().take(DRAWN_SHOWN).map(one).collect();
    if faults.len() > DRAWN_SHOWN {
        shown.push(format!("and {} more", faults.len() - DRAWN_SHOWN));
    }
    format!("{} drawn with seed {seed}: {}", clean(schedule), shown.join(", "))
}

fn fault_said(report: &FaultReport) -> Said {
    let measured = if report.measured.is_empty() { "nothing".to_owned() } else { clean(&report.measured) };
    let text = format!("{} ended: asked {}, measured {measured}", clean(&report.fault), clean(&report.asked));
    match (report.effective, report.healed) {
        (_, false) => Said::new(Tone::Bad, "fault", format!("{text}; not confirmed as healed")),
        (false, true) => Said::new(Tone::Warning, "fault", text),
        (true, true) => Said::new(Tone::Strong, "fault", text),
    }
}

/// How a step ended, for its line.
struct End<'e> {
    ending: Ending,
    duration_ms: f64,
    tries: u32,
    why: Option<&'e str>,
}

fn step_said(step: &StepInfo, end: &End<'_>) -> Option<Said> {
    let (word, tone) = match end.ending {
        Ending::Skipped => ("SKIP", Tone::Warning),
        // That a service is ready has a line of its own.
        Ending::Pass if step.section == Section::Ready => return None,
        ending => {
            let verdict = ending.verdict()?;
            let tone = if step.optional && verdict != Verdict::Pass { Tone::Warning } else { Tone::from(verdict) };
            (word_of(verdict), tone)
        }
    };
    let time = if end.ending == Ending::Skipped { "[        ]".to_owned() } else { took(end.duration_ms) };
    let mut text = format!("{time} {}", place(step));
    let id = step.id.as_deref().map(|id| format!("{}  ", clean(id))).unwrap_or_default();
    text += &format!(" {id}{}", clean(&step.title));
    if end.tries > 1 {
        text += &format!(" ({} tries)", end.tries);
    }
    if step.optional && end.ending != Ending::Pass {
        text += " (optional)";
    }
    if let Some(why) = end.why {
        text += &format!(": {}", clean(why));
    }
    Some(Said::new(tone, word, text))
}

/// `order-is-settled… 2/6`
fn place(step: &StepInfo) -> String {
    let test = cut(&clean(&step.key.test), TEST_NAME);
    let of = format!("{}/{}", step.number, step.of);
    match step.section {
        Section::Ready => "ready".to_owned(),
        Section::Steps => format!("{test} {of}"),
        Section::After => format!("{test} after {of}"),
        Section::Always => format!("{test} always {of}"),
        Section::Steady => format!("{test} steady {of}"),
        Section::SteadyAfter => format!("{test} steady again {of}"),
        Section::Settle => format!("{test} settle"),
    }
}

fn word_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Unknown => "UNKNOWN",
        Verdict::Error => "ERROR",
    }
}

#[cfg(test)]
mod tests;
