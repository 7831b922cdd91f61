//! Whether an order is taken. Pure.

use meshproof_proto::id::PeerId;
use meshproof_proto::order::Authority;
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

/// The same for what is done beside the run: it takes nothing over, and is meant for the run as it is now.
pub(super) fn admit_beside(current: &Authority, offered: &Authority) -> Result<(), Refusal> {
    if offered.run != current.run {
        return Err(Refusal::NoSuchRun(offered.run.to_string()));
    }
    if offered.plan != current.plan {
        return Err(Refusal::OtherPlan { offered: offered.plan, current: current.plan });
    }
    if offered.term > current.term {
        return Err(Refusal::Failed("only an orchestrator takes a run over".to_owned()));
    }
    if offered.term < current.term {
        return Err(Refusal::OldTerm { offered: offered.term.0, current: current.term.0 });
    }
    Ok(())
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
    fn what_is_done_beside_a_run_is_for_the_run_as_it_is_and_takes_it_from_nobody() {
        let current = authority("r", 3, 1);
        let admitted = |offered: Authority| admit_beside(&current, &offered);
        assert_eq!(admitted(authority("r", 3, 1)), Ok(()));
        assert_eq!(admitted(authority("r", 2, 1)), Err(Refusal::OldTerm { offered: 2, current: 3 }));
        assert!(matches!(admitted(authority("r", 4, 1)), Err(Refusal::Failed(_))));
        assert_eq!(admitted(authority("s", 3, 1)), Err(Refusal::NoSuchRun("s".to_owned())));
        assert!(matches!(admitted(authority("r", 3, 2)), Err(Refusal::OtherPlan { .. })));
    }
}
