//! The faults of a run: each has parts at agents, a lease, and reports from all of its parts.
//!
//! A fault may begin again in a later test under the same name, while the event that tells its former end is still under
//! way. So every begin has a serial number, and the events of an agent, which come in order and exactly once, are counted off
//! against the begins they belong to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_proto::id::Name;
use meshproof_proto::order::FaultReport;

use super::stepping::Spot;
use crate::plan::compiled::FaultStep;
use crate::record::StepInfo;

/// The book of faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    last_serial: u64,
    pub(super) active: BTreeMap<u64, Active>,
    /// Those of the test that is going on, with their reports.
    pub(super) over: Vec<Over>,
    /// Begins whose end an agent has not told yet.
    untold: BTreeMap<(Name, String), VecDeque<u64>>,
    /// Those that steps of the test have drawn.
    pub(super) schedules: Vec<Schedule>,
}

/// Faults that begin one after the other beside the steps of a test.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) name: String,
    pub(super) spot: Spot,
    pub(super) info: StepInfo,
    /// What has not begun yet, and when it does.
    pub(super) left: VecDeque<(Instant, Arc<FaultStep>)>,
    /// How many will not.
    pub(super) given_up: usize,
}

/// A fault that may disturb something.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) name: String,
    pub(super) step: Arc<FaultStep>,
    pub(super) spot: Spot,
    pub(super) info: StepInfo,
    /// The schedule that it is of; none: a step of its own.
    pub(super) schedule: Option<String>,
    /// For people.
    pub(super) target: String,
    pub(super) asked: String,
    /// Ends by itself after this; none: when it is healed.
    pub(super) lasts: Option<Duration>,
    began: Instant,
    pub(super) parts: BTreeMap<Name, Part>,
    pub(super) renew_at: Option<Instant>,
    /// Set once its end was asked for: when that must have happened.
    pub(super) heal_until: Option<Instant>,
    /// Why an agent could not heal it, for the message when no report comes.
    refusal: Option<String>,
    announced: bool,
    /// An agent of it was replaced while it was active: what the instance before had measured is gone.
    resumed: bool,
}

/// What an agent makes of a fault.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Beginning,
    On,
    Over(FaultReport),
    /// Refused, or the agent is lost: what it disturbed went with it.
    Gone,
}

/// A fault that ended everywhere.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) step: Arc<FaultStep>,
    pub(super) spot: Spot,
    pub(super) info: StepInfo,
    pub(super) schedule: Option<String>,
    pub(super) report: FaultReport,
    /// Whether it ended although nobody had asked, and it had no time of its own.
    pub(super) lapsed: bool,
    /// Whether every part began, and told its end and all that it did.
    pub(super) whole: bool,
    pub(super) refusal: Option<String>,
}

impl Part {
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Beginning | Self::On)
    }
}

/// How a fault is written into the book.
pub(super) struct Opening {
    pub(super) spot: Spot,
    pub(super) info: StepInfo,
    pub(super) schedule: Option<String>,
    pub(super) renew_at: Option<Instant>,
    pub(super) now: Instant,
}

impl Faults {
    /// A fault begins at these agents; gives its serial number.
    pub(super) fn open(&mut self, step: Arc<FaultStep>, opening: Opening) -> u64 {
        let fault = &step.fault;
        self.last_serial += 1;
        let serial = self.last_serial;
        for agent in fault.parts.keys() {
            self.untold.entry((agent.clone(), fault.name.clone())).or_default().push_back(serial);
        }
        let active = Active {
            name: fault.name.clone(),
            spot: opening.spot,
            info: opening.info,
            schedule: opening.schedule,
            target: fault.target.clone(),
            asked: fault.shape.to_string(),
            lasts: step.lasts,
            began: opening.now,
            parts: fault.parts.keys().map(|agent| (agent.clone(), Part::Beginning)).collect(),
            renew_at: opening.renew_at,
            heal_until: None,
            refusal: None,
            announced: false,
            resumed: false,
            step,
        };
        self.active.insert(serial, active);
        serial
    }

    pub(super) fn is_active(&self, name: &str) -> bool {
        self.active.values().any(|fault| fault.name == name)
    }

    /// How far it is, as `expect: { fault: … }` sees it.
    pub(super) fn course(&self, name: &str) -> &'static str {
        if self.schedules.iter().any(|schedule| schedule.name == name && !schedule.left.is_empty()) {
            return "active";
        }
        let begun = || self.active.values().filter(|fault| fault.is_called(name));
        match begun().next() {
            None => "ended",
            Some(_) if begun().any(|fault| fault.announced) => "active",
            Some(_) => "beginning",
        }
    }

    pub(super) fn all_over(&self) -> bool {
        self.active.is_empty()
    }

    /// An agent's part is active. Gives the fault when that was the last one, once.
    pub(super) fn began(&mut self, agent: &Name, serial: u64) -> Option<&Active> {
        let fault = self.active.get_mut(&serial)?;
        let part = fault.parts.get_mut(agent).filter(|part| **part == Part::Beginning)?;
        *part = Part::On;
        if fault.announced || fault.parts.values().any(|part| matches!(part, Part::Beginning | Part::Gone)) {
            return None;
        }
        fault.announced = true;
        Some(fault)
    }

    /// An agent did not begin its part.
    pub(super) fn refused(&mut self, agent: &Name, serial: u64) -> bool {
        let Some(fault) = self.active.get_mut(&serial) else { return false };
        let Some(part) = fault.parts.get_mut(agent).filter(|part| **part == Part::Beginning) else { return false };
        *part = Part::Gone;
        if let Some(untold) = self.untold.get_mut(&(agent.clone(), fault.name.clone())) {
            untold.retain(|told| *told != serial);
        }
        true
    }

    /// The event that an agent's part has ended.
    pub(super) fn reported(&mut self, agent: &Name, report: FaultReport) {
        let untold = self.untold.get_mut(&(agent.clone(), report.fault.clone()));
        if let Some(serial) = untold.and_then(VecDeque::pop_front) {
            self.answered(agent, serial, report);
        }
    }

    /// The agent's answer to a heal, or its event.
    pub(super) fn answered(&mut self, agent: &Name, serial: u64, report: FaultReport) {
        let fault = self.active.get_mut(&serial);
        if let Some(part) = fault.and_then(|fault| fault.parts.get_mut(agent)).filter(|part| part.is_open()) {
            *part = Part::Over(report);
        }
    }

    pub(super) fn heal_refused(&mut self, agent: &Name, serial: u64, reason: String) {
        if let Some(fault) = self.active.get_mut(&serial) {
            fault.refusal = Some(format!("agent `{agent}`: {reason}"));
        }
    }

    /// A lost agent takes its stubs and tunnels along, and so the disturbance.
    pub(super) fn agent_lost(&mut self, agent: &Name) {
        for fault in self.active.values_mut() {
            if let Some(part) = fault.parts.get_mut(agent).filter(|part| part.is_open()) {
                *part = Part::Gone;
            }
        }
    }

    /// Another instance of the agent is there. Gives the faults that it is to begin, and for how long, where that is not until they are
    /// healed; those that were just ending have ended with the instance before.
    pub(super) fn resume(&mut self, agent: &Name, now: Instant) -> Vec<(Arc<FaultStep>, Option<Duration>)> {
        let mut resumed = Vec::new();
        for (serial, fault) in &mut self.active {
            let Some(part) = fault.parts.get_mut(agent).filter(|part| **part == Part::On) else { continue };
            let left = fault.lasts.map(|lasts| (fault.began + lasts).saturating_duration_since(now));
            if fault.heal_until.is_none() && left.is_none_or(|left| !left.is_zero()) {
                resumed.push((Arc::clone(&fault.step), left));
                fault.resumed = true;
                continue;
            }
            *part = Part::Gone;
            if let Some(untold) = self.untold.get_mut(&(agent.clone(), fault.name.clone())) {
                untold.retain(|told| told != serial);
            }
        }
        resumed
    }

    /// Those that are to be renewed now and again are to be renewed at this time.
    pub(super) fn renew_at(&mut self, now: Instant) {
        self.active.values_mut().filter_map(|fault| fault.renew_at.as_mut()).for_each(|at| *at = now);
    }

    /// Parts that do not answer in time count as not healed.
    pub(super) fn give_up(&mut self, now: Instant) {
        for fault in self.active.values_mut().filter(|fault| fault.heal_until.is_some_and(|until| until <= now)) {
            let silent = FaultReport {
                fault: fault.name.clone(),
                asked: fault.asked.clone(),
                measured: String::new(),
                deviation_percent: None,
                effective: false,
                healed: false,
            };
            for part in fault.parts.values_mut().filter(|part| part.is_open()) {
                *part = Part::Over(silent.clone());
            }
        }
    }

    /// Takes the faults out that ended at all agents.
    pub(super) fn take_over(&mut self) -> Vec<(u64, Over)> {
        let is_over = |fault: &Active| !fault.parts.values().any(Part::is_open);
        let over: BTreeSet<u64> =
            self.active.iter().filter(|(_, fault)| is_over(fault)).map(|(serial, _)| *serial).collect();
        let taken = over.into_iter().filter_map(|serial| Some((serial, self.active.remove(&serial)?)));
        taken.map(|(serial, fault)| (serial, Over::of(fault))).collect()
    }

    /// The agents at which a fault has not become active.
    pub(super) fn missing(&self, serial: u64) -> String {
        let parts = self.active.get(&serial).into_iter().flat_map(|fault| &fault.parts);
        let missing = parts.filter(|(_, part)| **part == Part::Beginning).map(|(agent, _)| format!("`{agent}`"));
        missing.collect::<Vec<_>>().join(", ")
    }

    /// What begins now of the schedules, and the names of these.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(Opening, Arc<FaultStep>)> {
        let mut due = Vec::new();
        for schedule in &mut self.schedules {
            while schedule.left.front().is_some_and(|(at, _)| *at <= now)
                && let Some((_, step)) = schedule.left.pop_front()
            {
                let (spot, info, name) = (schedule.spot, schedule.info.clone(), schedule.name.clone());
                due.push((Opening { spot, info, schedule: Some(name), renew_at: None, now }, step));
            }
        }
        due
    }

    /// Nothing more begins of the schedules that are meant.
    pub(super) fn give_schedules_up(&mut self, meant: impl Fn(&Schedule) -> bool) {
        for schedule in self.schedules.iter_mut().filter(|schedule| meant(schedule)) {
            schedule.given_up += schedule.left.len();
            schedule.left.clear();
        }
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        let begins = self.schedules.iter().filter_map(|schedule| schedule.left.front().map(|(at, _)| *at));
        let leases = self.active.values().flat_map(|fault| [fault.renew_at, fault.heal_until]).flatten();
        begins.chain(leases).min()
    }
}

impl Active {
    /// Whether that is its name, or its schedule's.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.schedule.as_deref() == Some(name)
    }
}

impl Over {
    fn of(fault: Active) -> Self {
        let reports: Vec<&FaultReport> = fault
            .parts
            .values()
            .filter_map(|part| match part {
                Part::Over(report) => Some(report),
                Part::Beginning | Part::On | Part::Gone => None,
            })
            .collect();
        let effective: Vec<&&FaultReport> = reports.iter().filter(|report| report.effective).collect();
        let telling = if effective.is_empty() { reports.iter().collect() } else { effective.clone() };
        let measured: BTreeSet<&str> =
            telling.iter().map(|report| report.measured.as_str()).filter(|text| !text.is_empty()).collect();
        let report = FaultReport {
            fault: fault.name,
            asked: reports.first().map_or(fault.asked, |report| report.asked.clone()),
            measured: measured.into_iter().collect::<Vec<_>>().join("; "),
            deviation_percent: telling.iter().filter_map(|report| report.deviation_percent).reduce(f64::max),
            effective: !effective.is_empty(),
            healed: reports.iter().all(|report| report.healed),
        };
        Self {
            step: fault.step,
            spot: fault.spot,
            info: fault.info,
            schedule: fault.schedule,
            report,
            lapsed: fault.heal_until.is_none() && fault.lasts.is_none() && !reports.is_empty(),
            whole: fault.announced
                && !fault.parts.values().any(|part| *part == Part::Gone)
                && !(fault.resumed && effective.is_empty()),
            refusal: fault.refusal,
        }
    }
}
