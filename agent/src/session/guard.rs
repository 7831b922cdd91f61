//! Whether an order is taken. Pure.

use std::collections::BTreeSet;

use meshproof_proto::id::PeerId;
use meshproof_proto::identity::Capability;
use meshproof_proto::order::{Action, Authority};
use meshproof_proto::rpc::Refusal;

/// In what way an order is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    Current,
    /// The term is higher: the caller is the run's orchestrator from now on.
    TakesOver,
}

/// Compares whose order it is with whose run it is.
pub(super) fn admit(
    (current, orchestrator): (&Authority, PeerId),
    (offered, caller): (&Authority, PeerId),
) -> Result<Admitted, Refusal> {
    if offered.run != current.run {
        return Err(Refusal::NoSuchRun(offered.run.to_string()));
    }
    if offered.plan != current.plan {
        return Err(Refusal::OtherPlan { offered: offered.plan, current: current.plan });
    }
    if offered.term < current.term {
        return Err(Refusal::OldTerm { offered: offered.term.0, current: current.term.0 });
    }
    if offered.term > current.term {
        return Ok(Admitted::TakesOver);
    }
    // Two orchestrators in one term would both be right.
    if caller != orchestrator { Err(Refusal::Busy(current.run.to_string())) } else { Ok(Admitted::Current) }
}

/// Whether the agent may be asked for it.
pub(super) fn allowed(granted: &BTreeSet<Capability>, needed: Capability) -> Result<(), Refusal> {
    if granted.contains(&needed) {
        return Ok(());
    }
    tracing::warn!(?needed, "a call was refused: the grant does not allow it");
    Err(Refusal::Capability(format!("{needed:?}").to_lowercase()))
}

/// What an action takes.
pub(super) fn needs(action: &Action) -> Capability {
    match action {
        Action::Http(_) => Capability::Http,
        Action::Tcp(_) => Capability::Tcp,
        Action::Exec(_) => Capability::Exec,
        Action::Stream(_) => Capability::Stream,
        Action::ExpectLog { .. } => Capability::Logs,
        Action::ExpectStub { .. } => Capability::Stub,
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::id::{Digest, RunId, Term};

    use super::*;

    fn authority(run: &str, term: u64, plan: u8) -> Authority {
        Authority { run: RunId(run.to_owned()), term: Term(term), plan: Digest([plan; 32]) }
    }

    #[test]
    fn orders_of_another_run_plan_or_orchestrator_and_of_an_old_term_are_refused() {
        let (mine, other) = (PeerId([1; 32]), PeerId([2; 32]));
        let current = authority("r", 3, 1);
        let admitted = |offered: Authority, caller| admit((&current, mine), (&offered, caller));
        assert_eq!(admitted(authority("r", 3, 1), mine), Ok(Admitted::Current));
        assert_eq!(admitted(authority("r", 4, 1), other), Ok(Admitted::TakesOver));
        assert_eq!(admitted(authority("r", 2, 1), mine), Err(Refusal::OldTerm { offered: 2, current: 3 }));
        assert_eq!(admitted(authority("r", 3, 1), other), Err(Refusal::Busy("r".to_owned())));
        assert_eq!(admitted(authority("s", 9, 1), mine), Err(Refusal::NoSuchRun("s".to_owned())));
        assert!(matches!(admitted(authority("r", 3, 2), mine), Err(Refusal::OtherPlan { .. })));
    }

    #[test]
    fn what_the_grant_does_not_name_is_refused_by_its_name() {
        let granted = BTreeSet::from([Capability::Http]);
        assert_eq!(allowed(&granted, Capability::Http), Ok(()));
        assert_eq!(allowed(&granted, Capability::Exec), Err(Refusal::Capability("exec".to_owned())));
    }
}
