//! Faults begin, are renewed, healed, and judged at their test's end: a fault that did nothing fails the test that relied on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use meshproof_proto::id::Name;
use meshproof_proto::limits::FAULT_LEASE;
use meshproof_proto::order::{FaultOrder, FaultTarget, millis};
use meshproof_proto::verdict::{Exit, Verdict};

use super::api::{Lease, Output};
use super::blame::Blame;
use super::faults::{Active, Opening, Over};
use super::limits::{HEAL_DEADLINE, RENEWALS_PER_LEASE};
use super::machine::{Phase, Run};
use super::stepping::{Begun, Running, Wait};
use crate::plan::Span;
use crate::plan::compiled::{FaultStep, Heal};
use crate::record::{Ending, Happening};

impl Run {
    pub(super) fn begin_fault(&mut self, step: &FaultStep, running: Running) -> Begun {
        let lost = step.fault.parts.keys().find(|agent| self.lost.contains_key(*agent));
        if self.faults.is_active(&step.fault.name) {
            let title = format!("the fault `{}` is active already", step.fault.name);
            return Begun::Ended(self.end_badly(&running, Verdict::Error, &title));
        }
        if let Some(agent) = lost {
            let title = format!("agent `{agent}` is lost");
            return Begun::Ended(self.end_badly(&running, Verdict::Error, &title));
        }
        let renew_at = step.lasts.is_none().then_some(self.now + FAULT_LEASE / RENEWALS_PER_LEASE);
        let (spot, info) = (running.spot, running.info.clone());
        let opening = Opening { spot, info, schedule: None, renew_at, now: self.now };
        let serial = self.open_fault(Arc::new(step.clone()), opening);
        Begun::Waiting(Box::new(Running { wait: Wait::Active(serial), ..running }))
    }

    /// Writes it into the book and orders its parts; gives its number.
    pub(super) fn open_fault(&mut self, step: Arc<FaultStep>, opening: Opening) -> u64 {
        let orders = self.fault_orders(&step);
        let serial = self.faults.open(step, opening);
        for (agent, order) in orders {
            self.push(Output::BeginFault { agent, serial, order: Box::new(order) });
        }
        serial
    }

    pub(super) fn fault_orders(&self, step: &FaultStep) -> Vec<(Name, FaultOrder)> {
        let lease = step.lasts.unwrap_or(FAULT_LEASE);
        let order = |(agent, target): (&Name, &FaultTarget)| {
            let order = FaultOrder {
                authority: self.setup.authority.clone(),
                fault: step.fault.name.clone(),
                target: target.clone(),
                shape: step.fault.shape.clone(),
                lease_ms: millis(lease),
            };
            (agent.clone(), order)
        };
        step.fault.parts.iter().map(order).collect()
    }

    pub(super) fn fault_active(&mut self, agent: &Name, serial: u64) {
        let Some(fault) = self.faults.began(agent, serial) else { return };
        let key = fault.info.key.clone();
        let began = Happening::FaultBegan {
            fault: fault.name.clone(),
            target: fault.target.clone(),
            asked: fault.asked.clone(),
            agents: fault.parts.keys().cloned().collect(),
            lasts_ms: fault.lasts.map(millis),
        };
        self.record(began);
        if let Some(running) = self.take_running(&key, |running| running.wait == Wait::Active(serial)) {
            let ending = self.end_step(&running, Ending::Pass, None);
            self.after_step(&running, ending);
        }
    }

    pub(super) fn fault_refused(&mut self, agent: &Name, serial: u64, reason: &str) {
        if !self.faults.refused(agent, serial) {
            return;
        }
        let title = format!("agent `{agent}` did not begin the fault: {reason}");
        self.end_fault_step(serial, &title);
        self.drawn_refused(serial, title);
        self.heal_faults(|other, _| other == serial);
    }

    /// Ends the `fault` step that still waits for this fault, badly.
    fn end_fault_step(&mut self, serial: u64, title: &str) {
        let Phase::Testing(testing) = &mut self.phase else { return };
        if let Some(running) = testing.take_running(|running| running.wait == Wait::Active(serial)) {
            self.end_badly(&running, Verdict::Error, title);
        }
    }

    pub(super) fn begin_heal(&mut self, heal: &Heal, running: Running) -> Begun {
        let named = |_: u64, fault: &Active| match heal {
            Heal::All => true,
            Heal::Named(names) => names.iter().any(|name| fault.is_called(name)),
        };
        self.faults.give_schedules_up(|schedule| match heal {
            Heal::All => true,
            Heal::Named(names) => names.contains(&schedule.name),
        });
        if *heal == Heal::All {
            self.thaw_all();
        }
        let serials = self.heal_faults(named);
        if serials.is_empty() {
            return Begun::Ended(self.end_step(&running, Ending::Pass, None));
        }
        Begun::Waiting(Box::new(Running { wait: Wait::Over(serials), ..running }))
    }

    /// Asks for the end of the active faults that are meant; gives their numbers.
    pub(super) fn heal_faults(&mut self, meant: impl Fn(u64, &Active) -> bool) -> BTreeSet<u64> {
        let mut outputs = Vec::new();
        let mut serials = BTreeSet::new();
        for (serial, fault) in &mut self.faults.active {
            if !meant(*serial, fault) {
                continue;
            }
            serials.insert(*serial);
            if fault.heal_until.is_some() {
                continue;
            }
            fault.heal_until = Some(self.now + HEAL_DEADLINE);
            fault.renew_at = None;
            for (agent, _) in fault.parts.iter().filter(|(_, part)| part.is_open()) {
                outputs.push(Output::HealFault { agent: agent.clone(), serial: *serial, fault: fault.name.clone() });
            }
        }
        outputs.into_iter().for_each(|output| self.push(output));
        serials
    }

    pub(super) fn faults_timeout(&mut self) {
        self.faults.give_up(self.now);
        self.drawn_timeout();
        let mut orders = Vec::new();
        for fault in self.faults.active.values_mut() {
            if fault.renew_at.is_some_and(|at| at <= self.now) {
                fault.renew_at = Some(self.now + FAULT_LEASE / RENEWALS_PER_LEASE);
                let open = fault.parts.iter().filter(|(_, part)| part.is_open()).map(|(agent, _)| agent.clone());
                orders.push((Arc::clone(&fault.step), open.collect::<BTreeSet<_>>()));
            }
        }
        for (step, open) in orders {
            for (agent, order) in self.fault_orders(&step).into_iter().filter(|(agent, _)| open.contains(agent)) {
                self.push(Output::RenewFault { agent, order: Box::new(order), of: Lease::Same });
            }
        }
    }

    /// Writes down the faults that ended meanwhile, and ends the steps that waited for that.
    pub(super) fn settle_faults(&mut self) {
        for (serial, over) in self.faults.take_over() {
            self.record(Happening::FaultEnded(over.report.clone()));
            let is_healed = over.report.healed || self.has_lost_an_end(&over);
            if !is_healed {
                self.not_healed(&over);
            }
            self.end_fault_step(serial, "the fault ended before it was active everywhere");
            let ending = if is_healed { Ending::Pass } else { Ending::Error };
            self.end_heal_step(serial, ending);
            self.faults.over.push(over);
        }
    }

    /// Whether an agent at one of its ends is gone: there is no traffic left to flow, so nobody can see it flow again.
    fn has_lost_an_end(&self, over: &Over) -> bool {
        over.step.fault.ends().any(|agent| self.lost.contains_key(agent))
    }

    fn not_healed(&mut self, over: &Over) {
        self.tally.exit(Exit::NotHealed);
        let verb = over.spot.step(&self.plan).verb;
        let title = format!("the fault `{}` could not be confirmed as healed", over.report.fault);
        let blame = Blame { step: Some(over.info.clone()), ..Blame::new(Some(verb), title) };
        self.fail(Verdict::Error, Blame { actual: over.refusal.clone(), ..blame });
    }

    /// One of the faults that `heal` steps wait for is over.
    fn end_heal_step(&mut self, serial: u64, ending: Ending) {
        let Phase::Testing(testing) = &mut self.phase else { return };
        let mut done = Vec::new();
        testing.running.retain_mut(|running| {
            let Wait::Over(serials) = &mut running.wait else { return true };
            let goes_on = !serials.remove(&serial) || (ending == Ending::Pass && !serials.is_empty());
            if !goes_on {
                done.push(running.clone());
            }
            goes_on
        });
        for running in done {
            let why = (ending != Ending::Pass).then(|| "not confirmed as healed".to_owned());
            self.end_step(&running, ending, why);
        }
    }

    /// The test is over: what its faults did is held against what it asked for.
    pub(super) fn judge_faults(&mut self) {
        let plan = Arc::clone(&self.plan);
        let all = std::mem::take(&mut self.faults.over);
        let (drawn, own): (Vec<Over>, Vec<Over>) = all.into_iter().partition(|over| over.schedule.is_some());
        for over in own {
            if !over.whole || !over.report.healed {
                continue;
            }
            let verb = over.spot.step(&plan).verb;
            if let Some((verdict, blame)) = judge(&over, verb) {
                self.fail(verdict, Blame { step: Some(over.info), ..blame });
            }
        }
        for schedule in std::mem::take(&mut self.faults.schedules) {
            let verb = schedule.spot.step(&plan).verb;
            let of_it: Vec<&Over> = drawn.iter().filter(|over| over.spot == schedule.spot).collect();
            self.judge_schedule(&schedule, &of_it, verb);
        }
    }
}

/// What is wrong with what a fault did, if anything.
pub(super) fn judge(over: &Over, verb: Span) -> Option<(Verdict, Blame)> {
    let (report, step) = (&over.report, &over.step);
    let name = &report.fault;
    let measured = if report.measured.is_empty() { "nothing".to_owned() } else { report.measured.clone() };
    let blame = |at, title: String, expected: String| Blame {
        expected: Some(expected),
        actual: Some(measured.clone()),
        ..Blame::new(Some(at), title)
    };
    if over.lapsed {
        let title = format!("the fault `{name}` ended by itself before it was healed");
        return Some((Verdict::Error, blame(verb, title, "active until the test's end".to_owned())));
    }
    if !report.effective {
        let at = step.prove.as_ref().map_or(verb, |prove| prove.span);
        return Some((Verdict::Fail, blame(at, format!("the fault `{name}` did nothing"), report.asked.clone())));
    }
    let prove = step.prove.as_ref()?;
    let expected = format!("{}, give or take {}%", report.asked, prove.value);
    match report.deviation_percent {
        Some(deviation) if deviation <= prove.value => None,
        Some(deviation) => {
            let title = format!("the fault `{name}` is {deviation:.0}% off what was asked for");
            Some((Verdict::Fail, blame(prove.span, title, expected)))
        }
        None => {
            let title = format!("what the fault `{name}` did could not be held against a number");
            Some((Verdict::Fail, blame(prove.span, title, expected)))
        }
    }
}
