//! A plan held against the peers of a mesh: whether each service has an agent there that may do what the plan asks of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use meshproof_proto::id::Name;
use meshproof_proto::identity::{Capability, Role};

use super::look::Look;
use crate::plan::Plan;
use crate::report::sanitise::line as clean;
use crate::report::table::span;

/// What was found for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its agent is there, free, and may do all of it.
    Good {
        up_ms: u64,
        version: String,
    },
    /// It may not do this.
    Lacks(BTreeSet<Capability>),
    /// It takes part in a run.
    Busy(String),
    /// It should be there and does not answer.
    Silent(String),
    Nobody,
}

/// The plan's services in this mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    mesh: Name,
    services: BTreeMap<Name, Found>,
    /// Agents that the plan does not mention.
    others: BTreeSet<Name>,
}

impl Resolved {
    /// Holds what the plan needs against what was seen.
    #[must_use]
    pub fn of(plan: &Plan, look: &Look) -> Self {
        let needed = plan.capabilities_by_agent();
        let agents = look.roster.iter().filter(|identity| identity.role == Role::Agent);
        let others = agents.map(|agent| agent.name.clone()).filter(|name| !needed.contains_key(name)).collect();
        let services = needed.into_iter().map(|(name, needed)| {
            let found = find(look, &name, &needed);
            (name, found)
        });
        Self { mesh: look.mesh.clone(), services: services.collect(), others }
    }

    /// Whether a run could begin here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.services.values().all(|found| matches!(found, Found::Good { .. }))
    }

    /// As lines for people.
    #[must_use]
    pub fn text(&self) -> String {
        let good = self.services.values().filter(|found| matches!(found, Found::Good { .. })).count();
        let mut text =
            format!("mesh {}: {good} of {} agents are there and may do this\n", self.mesh, self.services.len());
        for (name, found) in &self.services {
            let _ = writeln!(text, "  {name}: {}", clean(&found.words()));
        }
        if !self.others.is_empty() {
            let others: Vec<&str> = self.others.iter().map(Name::as_str).collect();
            let _ = writeln!(text, "  not in the plan: {}", others.join(", "));
        }
        text
    }
}

impl Found {
    fn words(&self) -> String {
        match self {
            Self::Good { up_ms, version } => format!("there since {}, version {version}", span(*up_ms)),
            Self::Lacks(missing) => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                let missing = missing.join(", ");
                format!("there, but its token does not allow {missing} (`meshproof mesh invite --allow`)")
            }
            Self::Busy(run) => format!("there, but takes part in run {run}"),
            Self::Silent(why) => format!("does not answer: {why}"),
            Self::Nobody => "not in the mesh; let it in with `meshproof mesh invite`".to_owned(),
        }
    }
}

fn find(look: &Look, name: &Name, needed: &BTreeSet<Capability>) -> Found {
    let agents = || look.roster.iter().filter(|identity| identity.role == Role::Agent && identity.name == *name);
    let answered = agents().find_map(|agent| Some((agent, look.answers.get(&agent.peer)?)));
    let Some((agent, answered)) = answered else {
        let silent = look.silent.iter().find(|silent| silent.name == *name);
        return silent.map_or(Found::Nobody, |silent| Found::Silent(silent.why.clone()));
    };
    let missing: BTreeSet<Capability> = needed.difference(&agent.capabilities).copied().collect();
    match &answered.about.run {
        _ if !missing.is_empty() => Found::Lacks(missing),
        Some(run) => Found::Busy(run.to_string()),
        None => Found::Good { up_ms: answered.about.up_ms, version: answered.about.version.clone() },
    }
}
