//! What was asked for and has no answer yet.

use meshproof_proto::event::{Fact, Steering};
use meshproof_proto::id::Name;
use meshproof_proto::order::StepKey;

use crate::record::Happening;
use crate::run::{Input, Output, ProcessOrder};

/// In the order in which it was asked for.
#[derive(Debug, Default)]
pub struct Outstanding(Vec<Output>);

impl Outstanding {
    /// The machine wants this done.
    pub fn asked(&mut self, output: &Output) {
        match output {
            // Programs of a test that is over do not wait any more.
            Output::Record(Happening::TestBegan { .. }) => {
                self.0.retain(|output| !matches!(output, Output::Answer { .. }));
                return;
            }
            // Nobody answers these, or they are done at once.
            Output::Record(_) | Output::Finished { .. } | Output::RenewFault { .. } => return,
            Output::Order { agent, order, .. } | Output::OrderAgain { agent, order } => {
                self.forget_step(agent, &order.key)
            }
            Output::Together(orders) => self.forget_step(&orders.leader, &orders.order.key),
            Output::Cancel { agent, key } => self.forget_step(agent, key),
            Output::Launch(_)
            | Output::BeginTest { .. }
            | Output::BeginFault { .. }
            | Output::HealFault { .. }
            | Output::Change { .. }
            | Output::KillZone { .. }
            | Output::Pause { .. }
            | Output::Collect { .. }
            // whoever goes on does not know which of them came, and twice is once
            | Output::Answer { .. }
            | Output::TearDown => {}
        }
        self.0.push(output.clone());
    }

    /// This came, which may be an answer.
    pub fn came(&mut self, input: &Input) {
        match input {
            Input::Fact { agent, fact: Fact::StepEnded { key, .. } } => self.forget_step(agent, key),
            Input::Fact { agent, fact: Fact::Steered { how, given_back, .. } } => {
                given_back.iter().for_each(|key| self.forget_step(agent, key));
                if *how != Steering::Pause {
                    self.0.retain(|output| !matches!(output, Output::Pause { .. }));
                }
            }
            Input::Fact { agent, fact: Fact::FaultEnded(report) } => self.forget_first(|output| {
                matches!(output, Output::HealFault { agent: at, fault, .. } if at == agent && *fault == report.fault)
            }),
            Input::ServiceStarted { service } | Input::ServiceNotStarted { service, .. } => {
                self.forget_first(|output| matches!(output, Output::Launch(launch) if launch.service == *service));
            }
            Input::TestBegun { agent, test } | Input::TestRefused { agent, test, .. } => self.forget_first(
                |output| matches!(output, Output::BeginTest { agent: at, test: begun } if at == agent && begun == test),
            ),
            Input::StepRefused { key, .. } => self.forget_first(|output| step(output).is_some_and(|(_, of)| of == key)),
            Input::FaultActive { agent, serial, .. } | Input::FaultRefused { agent, serial, .. } => self.forget_first(
                |output| matches!(output, Output::BeginFault { agent: at, serial: of, .. } if at == agent && of == serial),
            ),
            Input::FaultHealed { agent, serial, .. } | Input::HealRefused { agent, serial, .. } => self.forget_first(
                |output| matches!(output, Output::HealFault { agent: at, serial: of, .. } if at == agent && of == serial),
            ),
            Input::ProcessesChanged { key, .. } => {
                self.forget_first(|output| matches!(output, Output::Change { key: of, .. } if of == key));
            }
            Input::ZoneKilled { key, .. } => {
                self.forget_first(|output| matches!(output, Output::KillZone { key: of, .. } if of == key));
            }
            Input::Resumed { key, .. } => {
                self.forget_first(|output| matches!(output, Output::Pause { key: of, .. } if of == key));
            }
            Input::Collected { key, .. } => {
                self.forget_first(|output| matches!(output, Output::Collect { key: of, .. } if of == key));
            }
            // What it was doing is ordered again where that is right.
            Input::AgentBack { agent } => self.0.retain(|output| step(output).is_none_or(|(at, _)| at != agent)),
            Input::AgentLost { agent, .. } => self.0.retain(|output| at(output) != Some(agent)),
            Input::TornDown { .. } => self.0.retain(|output| *output != Output::TearDown),
            Input::Begin(_)
            | Input::Broken { .. }
            | Input::Fact { .. }
            | Input::ServiceEnded { .. }
            | Input::ServiceLeft { .. }
            | Input::AgentDown { .. }
            | Input::StoodStill { .. }
            | Input::Abort(_) => {}
        }
    }

    /// The agent says that it has begun that fault; gives the answer that this is.
    pub(super) fn begun(&self, agent: &Name, fault: &str) -> Option<Input> {
        self.0.iter().find_map(|output| match output {
            Output::BeginFault { agent: at, serial, order } if at == agent && order.fault == fault => {
                Some(Input::FaultActive { agent: agent.clone(), fault: fault.to_owned(), serial: *serial })
            }
            _ => None,
        })
    }

    /// What is to be done to processes under that key.
    pub(super) fn change(&self, key: &StepKey) -> Option<(&Name, &ProcessOrder)> {
        self.0.iter().find_map(|output| match output {
            Output::Change { key: of, service, what } if of == key => Some((service, what)),
            _ => None,
        })
    }

    /// Everything that is left, in order.
    #[must_use]
    pub fn into_outputs(self) -> Vec<Output> {
        self.0
    }

    fn forget_step(&mut self, agent: &Name, key: &StepKey) {
        self.0.retain(|output| step(output) != Some((agent, key)));
    }

    fn forget_first(&mut self, is_it: impl Fn(&Output) -> bool) {
        if let Some(at) = self.0.iter().position(is_it) {
            self.0.remove(at);
        }
    }
}

/// The step that an output is about, and its agent.
pub(super) fn step(output: &Output) -> Option<(&Name, &StepKey)> {
    match output {
        Output::Order { agent, order, .. } | Output::OrderAgain { agent, order } => Some((agent, &order.key)),
        Output::Together(orders) => Some((&orders.leader, &orders.order.key)),
        Output::Cancel { agent, key } => Some((agent, key)),
        Output::Record(_)
        | Output::Launch(_)
        | Output::BeginTest { .. }
        | Output::BeginFault { .. }
        | Output::RenewFault { .. }
        | Output::HealFault { .. }
        | Output::Change { .. }
        | Output::KillZone { .. }
        | Output::Pause { .. }
        | Output::Collect { .. }
        | Output::Answer { .. }
        | Output::TearDown
        | Output::Finished { .. } => None,
    }
}

/// The agent that is asked.
fn at(output: &Output) -> Option<&Name> {
    match output {
        Output::BeginTest { agent, .. }
        | Output::BeginFault { agent, .. }
        | Output::HealFault { agent, .. }
        | Output::Answer { agent, .. } => Some(agent),
        other => step(other).map(|(agent, _)| agent),
    }
}
