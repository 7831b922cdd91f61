//! Services are launched, each once what it needs is ready, and waited for. Addresses make no order: they are known before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use meshproof_proto::event::Evidence;
use meshproof_proto::id::Name;
use meshproof_proto::verdict::Verdict;

use super::api::{Output, Setting};
use super::blame::Blame;
use super::limits::LAUNCH_DEADLINE;
use super::machine::{Phase, Run};
use super::stepping::{Begun, Running, Spot};
use crate::plan::Span;
use crate::plan::compiled::Service;
use crate::record::{Ending, Happening};

/// How far each service is, by its index in the plan.
#[derive(Debug)]
pub(super) struct Starting {
    services: BTreeMap<usize, Launching>,
}

#[derive(Debug)]
enum Launching {
    /// It needs others, or its turn has not come.
    Held,
    /// The answer must have come by then.
    Asked {
        began: Instant,
        until: Instant,
    },
    Started {
        began: Instant,
    },
    Readying {
        began: Instant,
        running: Box<Running>,
    },
    Ready,
}

impl Starting {
    pub(super) fn timeout(&self) -> Option<Instant> {
        let times = self.services.values().filter_map(|service| match service {
            Launching::Asked { until, .. } => Some(*until),
            Launching::Readying { running, .. } => Some(running.until),
            Launching::Held | Launching::Started { .. } | Launching::Ready => None,
        });
        times.min()
    }

    pub(super) fn each_running(&mut self, each: &mut impl FnMut(&mut Running)) {
        for service in self.services.values_mut() {
            if let Launching::Readying { running, .. } = service {
                each(running);
            }
        }
    }

    pub(super) fn take_running(&mut self, fits: impl Fn(&Running) -> bool) -> Option<Box<Running>> {
        for service in self.services.values_mut() {
            if let Launching::Readying { began, running } = service
                && fits(running)
            {
                let next = Launching::Started { began: *began };
                let Launching::Readying { running, .. } = std::mem::replace(service, next) else { continue };
                return Some(running);
            }
        }
        None
    }
}

/// What a service's turn is.
enum Turn {
    Launch,
    Wait,
    Ready,
}

impl Run {
    /// The environment is ready.
    pub(super) fn begin(&mut self, setting: Setting) {
        if !matches!(self.phase, Phase::Waiting) || self.stopped.is_some() {
            return;
        }
        self.scope.begin(setting);
        // members are started with each test
        let state = |service: &Service| if service.member.is_some() { Launching::Ready } else { Launching::Held };
        let services = self.plan.services.iter().map(state).enumerate().collect();
        self.phase = Phase::Starting(Starting { services });
    }

    /// Whether something was done.
    pub(super) fn advance_startup(&mut self) -> bool {
        let Phase::Starting(starting) = &self.phase else { return false };
        if self.stopped.is_some() {
            self.close();
            return true;
        }
        if starting.services.values().all(|service| matches!(service, Launching::Ready)) {
            self.begin_test(0);
            return true;
        }
        let turn =
            starting.services.iter().find_map(|(index, _)| self.turn(starting, *index).map(|turn| (*index, turn)));
        match turn {
            Some((index, Turn::Launch)) => self.launch(index),
            Some((index, Turn::Wait)) => self.wait_for(index),
            Some((index, Turn::Ready)) => self.service_ready(index),
            None => return false,
        }
        true
    }

    fn turn(&self, starting: &Starting, index: usize) -> Option<Turn> {
        let service = &self.plan.services[index];
        let is_ready = |name: &Name| {
            let needed = self.plan.services.iter().position(|other| other.name == *name);
            needed.is_none_or(|needed| matches!(starting.services.get(&needed), Some(Launching::Ready)))
        };
        match starting.services.get(&index)? {
            Launching::Held => service.needs.iter().all(is_ready).then_some(Turn::Launch),
            Launching::Started { .. } if service.ready.is_some() => Some(Turn::Wait),
            Launching::Started { .. } => Some(Turn::Ready),
            Launching::Asked { .. } | Launching::Readying { .. } | Launching::Ready => None,
        }
    }

    fn set(&mut self, index: usize, state: Launching) {
        if let Phase::Starting(starting) = &mut self.phase {
            starting.services.insert(index, state);
        }
    }

    fn launch(&mut self, index: usize) {
        let plan = Arc::clone(&self.plan);
        let service = &plan.services[index];
        if service.processes.is_empty() {
            // It runs already; all there is to do is to wait for it.
            return self.set(index, Launching::Started { began: self.now });
        }
        match self.scope.launch(service) {
            Ok(launch) => {
                self.push(Output::Launch(Box::new(launch)));
                self.set(index, Launching::Asked { began: self.now, until: self.now + LAUNCH_DEADLINE });
            }
            Err(unset) => {
                let title = format!("service `{}` cannot be started: {unset}", service.name);
                self.startup_failed(Verdict::Error, Blame::new(Some(service.span), title));
            }
        }
    }

    fn wait_for(&mut self, index: usize) {
        let Phase::Starting(starting) = &self.phase else { return };
        let Some(Launching::Started { began }) = starting.services.get(&index) else { return };
        let began = *began;
        match self.begin_step(Spot::Ready(index)) {
            Begun::Waiting(running) => self.set(index, Launching::Readying { began, running }),
            Begun::Ended(ending) => self.readiness_ended(index, ending),
        }
    }

    fn service_ready(&mut self, index: usize) {
        let Phase::Starting(starting) = &self.phase else { return };
        let Some(Launching::Started { began }) = starting.services.get(&index) else { return };
        let duration_ms = self.now.saturating_duration_since(*began).as_secs_f64() * 1000.0;
        let service = self.plan.services[index].name.clone();
        self.set(index, Launching::Ready);
        self.record(Happening::ServiceReady { service, duration_ms });
    }

    /// The ready step of a service has ended.
    pub(super) fn readiness_ended(&mut self, index: usize, ending: Ending) {
        let plan = Arc::clone(&self.plan);
        let service = &plan.services[index];
        match ending {
            Ending::Pass | Ending::Skipped => self.service_ready(index),
            // Told as a failure of that step already.
            Ending::Fail | Ending::Unknown | Ending::Error => {
                self.stopped.get_or_insert_with(|| format!("service `{}` did not become ready", service.name));
            }
        }
    }

    fn startup_failed(&mut self, verdict: Verdict, blame: Blame) {
        self.stopped.get_or_insert_with(|| blame.title.clone());
        self.fail(verdict, blame);
    }

    fn index_of(&self, service: &Name) -> Option<usize> {
        self.plan.services.iter().position(|known| known.name == *service)
    }

    pub(super) fn service_started(&mut self, service: &Name) {
        let Some(index) = self.index_of(service) else { return };
        let Phase::Starting(starting) = &self.phase else { return };
        if let Some(Launching::Asked { began, .. }) = starting.services.get(&index) {
            let began = *began;
            self.set(index, Launching::Started { began });
            self.record(Happening::ServiceStarted { service: service.clone() });
        }
    }

    pub(super) fn service_not_started(&mut self, service: &Name, reason: &str) {
        let at = self.index_of(service).map(|index| self.plan.services[index].span);
        let title = format!("service `{service}` could not be started: {reason}");
        self.startup_failed(Verdict::Error, Blame::new(at, title));
    }

    pub(super) fn service_ended(&mut self, service: &Name, how: &str, evidence: Vec<Evidence>) {
        if matches!(self.phase, Phase::Closing { .. } | Phase::Over) || !self.dead.insert(service.clone()) {
            return;
        }
        if self.is_member(service) {
            self.last_words.insert(service.clone(), (how.to_owned(), evidence));
            return;
        }
        self.sync.lose(service.as_str());
        self.record(Happening::ServiceEnded { service: service.clone(), how: how.to_owned() });
        if let Phase::Testing(testing) = &self.phase
            && self.plan.tests[testing.index].may_end.contains(service)
        {
            return;
        }
        let at = self.index_of(service).map(|index| self.plan.services[index].span);
        let title = format!("service `{service}` ended by itself: {how}");
        self.fail(Verdict::Fail, Blame { evidence, step: self.cause(service), ..Blame::new(at, &title) });
        self.stop(&title);
    }

    /// The environment could not be made, or broke.
    pub(super) fn broken(&mut self, what: String, at: Option<Span>, evidence: Vec<Evidence>) {
        if matches!(self.phase, Phase::Closing { .. } | Phase::Over) {
            // It is being ended anyway; what does not end well is told by the teardown.
            return;
        }
        self.fail(Verdict::Error, Blame { evidence, ..Blame::new(at, &what) });
        self.stop(&what);
    }

    pub(super) fn startup_timeout(&mut self) {
        let Phase::Starting(starting) = &mut self.phase else { return };
        if let Some(running) = starting.take_running(|running| running.until <= self.now) {
            let ending = self.step_overdue(&running);
            self.after_step(&running, ending);
            return;
        }
        let late = starting.services.iter().find_map(|(index, service)| match service {
            Launching::Asked { until, .. } if *until <= self.now => Some(*index),
            _ => None,
        });
        if let Some(index) = late {
            let service = self.plan.services[index].name.clone();
            self.service_not_started(&service, &format!("no answer within {LAUNCH_DEADLINE:?}"));
        }
    }
}
