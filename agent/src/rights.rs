//! Who may have what done here: a caller's role has to allow the call, and its grant and this agent each capability it takes.
//!
//! What each call and each stream takes stands in [`table`], and nowhere else. What may be done is what the caller's token
//! grants *and* what this agent's own token and configuration grant. Everything refused leaves an [audit](crate::audit) line.

mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::{for_datagrams, for_packets, for_stream};

use std::collections::BTreeSet;
use std::sync::Arc;

use meshproof_proto::identity::{Capability, Identity, Role};
use meshproof_proto::rpc::Refusal;

use crate::audit::{Audit, Refused};
use crate::permits::{Permits, Settings};
use crate::service::Call;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes what a run does.
    Command,
    /// Takes the agent's time and its links' bandwidth, and changes nothing.
    Measure,
    Look,
    /// Changes what a run sees, from outside of it; the run is told who did it.
    Tend,
    /// Agents ask it of each other.
    Between,
}

impl Kind {
    fn callers(self) -> &'static [Role] {
        match self {
            Self::Command => &[Role::Orchestrator],
            Self::Measure | Self::Tend => &[Role::Orchestrator, Role::OperatorConsole],
            Self::Look => &[Role::Orchestrator, Role::OperatorConsole, Role::Observer],
            Self::Between => &[Role::Agent],
        }
    }
}

/// What one call, or one stream, takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) call: &'static str,
    pub(crate) kind: Kind,
    pub(crate) capabilities: BTreeSet<Capability>,
}

/// What this agent may be asked for, and where it says what it refused.
#[derive(Debug)]
pub(crate) struct Rights {
    own: BTreeSet<Capability>,
    audit: Arc<Audit>,
    permits: Arc<Permits>,
}

impl Rights {
    /// `control` are the URLs of the signaling servers, which are no target.
    pub(crate) fn new(own: BTreeSet<Capability>, audit: Audit, (settings, control): (Settings, &[String])) -> Self {
        let audit = Arc::new(audit);
        let permits = Arc::new(Permits::new(settings, control, Arc::clone(&audit)));
        Self { own, audit, permits }
    }

    pub(crate) fn permits(&self) -> &Arc<Permits> {
        &self.permits
    }

    /// Whether this caller may have it done.
    pub(crate) fn allow(&self, caller: &Identity, needed: &Needed) -> Result<(), Refusal> {
        let allowed = self.judge(caller, needed);
        match &allowed {
            Ok(()) => {
                let Needed { call, kind, .. } = needed;
                tracing::debug!(target: "meshproof::calls", caller = %caller.name, call, ?kind, "allowed");
            }
            Err(refusal) => self.refused(caller, needed.call, &refusal.to_string()),
        }
        allowed
    }

    /// Whether this caller may have this very call made: by its rights, and by what this agent's settings permit.
    pub(crate) fn allow_call(&self, caller: &Identity, call: &Call) -> Result<(), Refusal> {
        let needed = call.needs();
        self.allow(caller, &needed)?;
        self.permits.call(call).map_err(|reason| {
            self.refused(caller, needed.call, &reason);
            Refusal::NotPermitted { call: needed.call.to_owned(), reason }
        })
    }

    /// Writes down what was refused for another reason.
    pub(crate) fn refused(&self, caller: &Identity, call: &'static str, reason: &str) {
        self.audit.note(&Refused { caller, call, reason });
    }

    fn judge(&self, caller: &Identity, needed: &Needed) -> Result<(), Refusal> {
        let (call, roles) = (needed.call.to_owned(), needed.kind.callers());
        if !roles.contains(&caller.role) {
            return Err(Refusal::NeedsRole { call, role: caller.role, needed: roles.to_vec() });
        }
        if let Some(missing) = needed.capabilities.difference(&caller.capabilities).next() {
            return Err(Refusal::NeedsCapability { call, capability: *missing });
        }
        match needed.capabilities.difference(&self.own).next() {
            Some(missing) => Err(Refusal::Capability(missing.to_string())),
            None => Ok(()),
        }
    }
}
