//! What happened in a run, as one line each. The journal keeps these records; terminal, JSON output and reports are readers
//! of them and know nothing else, so whatever a person sees can be seen again from the file.
//!
//! A record is one JSON object: `{"n":7,"at_ms":…,"from":"shop","instance":"…","seq":3,"what":{"step-ended":{…}}}`. Names of
//! happenings are kebab-case and stable; readers ignore keys they do not know. The last key is a check sum, which the journal
//! adds (`,"crc":"…"}`: CRC-32C of every byte before that comma).

mod masked;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use meshproof_proto::event::{Evidence, Fact};
use meshproof_proto::id::{Digest, Name, PeerId, RunId, Term};
use meshproof_proto::order::{FaultReport, StepKey};
use meshproof_proto::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// The `from` of what the orchestrator itself has to say.
pub const ORCHESTRATOR: &str = "orchestrator";

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Line")]
pub struct Record {
    /// Number of the line, from 1, without gaps.
    pub n: u64,
    #[serde(flatten)]
    pub entry: Entry,
}

/// A record as it is read: keys side by side, because serde reads what is flattened twice, and journals are long.
#[derive(Deserialize)]
struct Line {
    n: u64,
    at_ms: u64,
    from: String,
    #[serde(default)]
    instance: Option<PeerId>,
    #[serde(default)]
    seq: Option<u64>,
    what: Happening,
}

impl From<Line> for Record {
    fn from(line: Line) -> Self {
        let Line { n, at_ms, from, instance, seq, what } = line;
        Self { n, entry: Entry { at_ms, from, instance, seq, what } }
    }
}

/// A record before the journal has numbered it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Wall clock of whoever says it, milliseconds since 1970; for display only.
    pub at_ms: u64,
    /// [`ORCHESTRATOR`] or the agent's name.
    pub from: String,
    /// The agent's instance and its number for the event; both or neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<PeerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    pub what: Happening,
}

impl Entry {
    /// What the orchestrator has to say.
    pub fn own(at_ms: u64, what: Happening) -> Self {
        Self { at_ms, from: ORCHESTRATOR.to_owned(), instance: None, seq: None, what }
    }

    /// An agent's event.
    pub fn event(agent: &Name, instance: PeerId, event: meshproof_proto::event::Event) -> Self {
        Self {
            at_ms: event.at_ms,
            from: agent.to_string(),
            instance: Some(instance),
            seq: Some(event.seq),
            what: Happening::Fact(event.fact),
        }
    }
}

/// What can be said about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    RunBegan {
        run: RunId,
        plan: String,
        file: String,
        digest: Digest,
        seed: u64,
        term: Term,
    },
    /// Everything that must have ended before this run can pass; said before the first step.
    Expected {
        steps: Vec<StepKey>,
        /// Their tests, those without steps too.
        tests: Vec<String>,
    },
    BuildBegan {
        command: String,
    },
    BuildEnded {
        command: String,
        duration_ms: f64,
        /// What went wrong, if something did.
        problem: Option<String>,
    },
    AgentJoined {
        name: Name,
        /// `direct`, `relayed`.
        path: String,
        rtt_us: u64,
    },
    AgentLost {
        name: Name,
        reason: String,
    },
    /// An agent is gone, and another instance of it is waited for.
    FailoverDetected {
        agent: Name,
        how: String,
        /// Since its end, where somebody saw that.
        after_ms: Option<f64>,
    },
    /// Another instance gets the name, at this term.
    FailoverDecided {
        agent: Name,
        instance: PeerId,
        /// `1.2`: the run's term, and which instance of this name it is.
        term: String,
        /// Since it was detected.
        after_ms: f64,
    },
    /// It has taken over, and the journal has what the instance before had seen.
    FailoverComplete {
        agent: Name,
        /// Events that came only now.
        replayed: u64,
        /// Since it was detected.
        after_ms: f64,
    },
    /// Everybody joined and is linked to the orchestrator, so long after the environment was asked for.
    MeshFormed {
        peers: usize,
        duration_ms: f64,
    },
    Initialized {
        agent: Name,
    },
    ServiceStarted {
        service: Name,
    },
    ServiceReady {
        service: Name,
        /// From its start.
        duration_ms: f64,
    },
    /// It ended, and nobody had asked it to.
    ServiceEnded {
        service: Name,
        how: String,
    },
    /// The program of a group's member has ended, or says itself how it went; well, if there is no reason. The first reason counts.
    MemberEnded {
        member: Name,
        why: Option<String>,
    },
    /// As an agent reported it.
    Fact(Fact),
    TestBegan {
        test: String,
    },
    StepBegan(StepInfo),
    StepEnded {
        step: StepInfo,
        ending: Ending,
        duration_ms: f64,
        tries: u32,
        /// Why it was skipped or did not pass, in a line.
        why: Option<String>,
    },
    TestEnded {
        test: String,
        verdict: Verdict,
        duration_ms: f64,
    },
    TestNotRun {
        test: String,
        why: String,
    },
    FaultBegan {
        fault: String,
        /// What it disturbs: `stub payments`, `traffic shop <-> ledger`.
        target: String,
        asked: String,
        agents: Vec<Name>,
        /// Ends by itself after this; none: when it is healed.
        lasts_ms: Option<u64>,
    },
    /// Every agent's part of the fault has ended; their reports as one.
    FaultEnded(FaultReport),
    Collected {
        files: Vec<String>,
    },
    Failure(Box<FailureRecord>),
    Said {
        text: String,
    },
    /// Something that people should see, and nothing failed for it.
    Noted {
        text: String,
    },
    RunEnded {
        verdict: Verdict,
        exit: u8,
        summary: Summary,
    },
    /// How and where the run was started, and the plan as it was then.
    Invoked(Box<Invocation>),
    /// A step has drawn a schedule of faults, which this seed draws again.
    FaultsDrawn {
        schedule: String,
        seed: u64,
        faults: Vec<DrawnFault>,
    },
    /// Another orchestrator goes on with the run, at this term; what stands before this was told again from what agents remember.
    TakenOver {
        term: Term,
        lines: usize,
        /// Since it was known that the one before is gone: until the run was promised and collected, and until it went on.
        decided_ms: f64,
        complete_ms: f64,
    },
}

/// A fault of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnFault {
    /// Its name in the plan.
    pub fault: String,
    /// When it begins, since the schedule did.
    pub after_ms: u64,
    pub lasts_ms: u64,
}

/// How a run was started: enough to tell where it ran, and to run it again. It holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// Of meshproof.
    pub version: String,
    /// `linux 6.18.0, x86_64`
    pub system: String,
    pub cores: usize,
    pub memory_bytes: u64,
    /// The working directory.
    pub directory: String,
    /// What stood after `meshproof run`; empty: the run was not started by the command.
    pub arguments: Vec<String>,
    /// The plan's text.
    pub plan: String,
}

/// A step as people know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInfo {
    pub key: StepKey,
    pub section: Section,
    /// Its place among `of`, from 1.
    pub number: usize,
    pub of: usize,
    pub id: Option<String>,
    /// What it does.
    pub title: String,
    /// Who acts; none: the orchestrator.
    pub agent: Option<Name>,
    /// In the plan file, from 1.
    pub line: usize,
    pub optional: bool,
}

/// The part of a run that a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// Of a service, before the tests.
    Ready,
    Steps,
    After,
    /// Watched during the whole test.
    Always,
    /// Before the first step.
    Steady,
    /// The same after the healing.
    SteadyAfter,
    /// The wait for quiet at the end.
    Settle,
}

/// How a step ended, for people and for the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    Pass,
    Fail,
    Unknown,
    Error,
    /// Not begun: its `when` said so, or a name it needs is not set.
    Skipped,
}

impl Ending {
    /// The verdict; none for what was skipped.
    pub fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Pass => Some(Verdict::Pass),
            Self::Fail => Some(Verdict::Fail),
            Self::Unknown => Some(Verdict::Unknown),
            Self::Error => Some(Verdict::Error),
            Self::Skipped => None,
        }
    }
}

impl From<Verdict> for Ending {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
            Verdict::Unknown => Self::Unknown,
            Verdict::Error => Self::Error,
        }
    }
}

/// What did not hold, and where the plan says that it must.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureRecord {
    pub verdict: Verdict,
    /// Whose it is; none: the run's.
    pub test: Option<String>,
    pub step: Option<StepInfo>,
    /// None: the plan says nothing about it.
    pub place: Option<PlanPlace>,
    pub title: String,
    pub expected: Option<String>,
    pub actual: Option<String>,
    pub evidence: Vec<Evidence>,
}

/// A place in the plan file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPlace {
    /// As the user named it.
    pub file: String,
    /// From 1; the column counts characters.
    pub line: usize,
    pub column: usize,
    /// Half-open range of bytes in the file.
    pub span: (usize, usize),
}

/// A run in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub tests: usize,
    /// Tests by verdict (`pass`, …); those without one are under `not-run`.
    pub by_verdict: BTreeMap<String, usize>,
    /// Steps that ended, readiness and `after` included.
    pub steps: usize,
    pub skipped: usize,
    pub duration_ms: f64,
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_json_and_reads_back_the_same() {
        let what = Happening::TestEnded { test: "t".to_owned(), verdict: Verdict::Pass, duration_ms: 1.5 };
        let record = Record { n: 7, entry: Entry::own(12, what) };
        let line = serde_json::to_string(&record).expect("plain data");
        assert_eq!(
            line,
            r#"{"n":7,"at_ms":12,"from":"orchestrator","what":{"test-ended":{"test":"t","verdict":"pass","duration_ms":1.5}}}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&line).expect("its own line"), record);
        let summed = line.replace("}}}", r#"}},"crc":"9a3b01ff"}"#);
        assert_eq!(serde_json::from_str::<Record>(&summed).expect("a line with a check sum"), record);
    }

    #[test]
    fn an_agents_event_keeps_its_instance_and_number() {
        let name: Name = "shop".parse().expect("a name");
        let fact = Fact::StepStarted { key: StepKey { test: "t".to_owned(), step: "0".to_owned(), attempt: 1 } };
        let event = meshproof_proto::event::Event { run: RunId("r".to_owned()), seq: 3, at_ms: 1, fact };
        let record = Record { n: 1, entry: Entry::event(&name, PeerId([7; 32]), event) };
        let line = serde_json::to_string(&record).expect("plain data");
        assert!(line.contains(r#""seq":3,"what":{"fact":{"step-started""#), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).expect("its own line"), record);
    }
}
