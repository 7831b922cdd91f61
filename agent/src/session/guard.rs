//! Whether an order is taken. Pure.

use meshproof_proto::id::{PeerId, Term};
use meshproof_proto::order::Authority;
use meshproof_proto::rpc::Refusal;

/// In what way an order is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    Current,
    /// The term is higher: the caller is the run's orchestrator from now on.
    TakesOver,
}

/// Who commands, and who may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commanding<'r> {
    pub current: &'r Authority,
    pub orchestrator: PeerId,
    /// To whom, if to anybody, the run was promised at a higher term.
    pub promised: Option<(Term, PeerId)>,
}

/// Compares whose order it is with whose run it is.
pub(super) fn admit(
    Commanding { current, orchestrator, promised }: Commanding<'_>,
    (offered, caller): (&Authority, PeerId),
) -> Result<Admitted, Refusal> {
    if offered.run != current.run {
        return Err(Refusal::NoSuchRun(offered.run.to_string()));
    }
    if offered.plan != current.plan {
        return Err(Refusal::OtherPlan { offered: offered.plan, current: current.plan });
    }
    let promised = promised.filter(|(term, _)| *term > current.term);
    let (term, holder) = promised.unwrap_or((current.term, orchestrator));
    if offered.term < term {
        return Err(Refusal::OldTerm { offered: offered.term.0, current: term.0 });
    }
    if offered.term > term {
        return Err(Refusal::NotPromised { offered: offered.term.0 });
    }
    // Two orchestrators in one term would both be right.
    if caller != holder {
        return Err(Refusal::Busy(current.run.to_string()));
    }
    Ok(if promised.is_some() { Admitted::TakesOver } else { Admitted::Current })
}

/// Whether a promise may be given, when this is the last one.
pub(super) fn may_promise((term, holder): (Term, PeerId), (offered, caller): (Term, PeerId)) -> Result<(), Refusal> {
    if offered > term || (offered, caller) == (term, holder) {
        return Ok(());
    }
    Err(Refusal::OldTerm { offered: offered.0, current: term.0 })
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
    use meshproof_proto::id::{Digest, RunId};

    use super::*;

    fn authority(run: &str, term: u64, plan: u8) -> Authority {
        Authority { run: RunId(run.to_owned()), term: Term(term), plan: Digest([plan; 32]) }
    }

    #[test]
    fn orders_of_another_run_plan_or_orchestrator_and_of_an_old_term_are_refused() {
        let (mine, other) = (PeerId([1; 32]), PeerId([2; 32]));
        let current = authority("r", 3, 1);
        let admitted = |offered: Authority, caller| {
            admit(Commanding { current: &current, orchestrator: mine, promised: None }, (&offered, caller))
        };
        assert_eq!(admitted(authority("r", 3, 1), mine), Ok(Admitted::Current));
        assert_eq!(admitted(authority("r", 4, 1), other), Err(Refusal::NotPromised { offered: 4 }));
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

    #[test]
    fn with_a_promise_only_whom_it_was_given_commands_and_the_one_before_does_not() {
        let (mine, next, other) = (PeerId([1; 32]), PeerId([2; 32]), PeerId([3; 32]));
        let current = authority("r", 3, 1);
        let commanding = Commanding { current: &current, orchestrator: mine, promised: Some((Term(5), next)) };
        let admitted = |term, caller| admit(commanding, (&authority("r", term, 1), caller));
        assert_eq!(admitted(5, next), Ok(Admitted::TakesOver));
        assert_eq!(admitted(5, other), Err(Refusal::Busy("r".to_owned())));
        assert_eq!(admitted(3, mine), Err(Refusal::OldTerm { offered: 3, current: 5 }));
        assert_eq!(admitted(4, other), Err(Refusal::OldTerm { offered: 4, current: 5 }));
        assert_eq!(admitted(6, other), Err(Refusal::NotPromised { offered: 6 }));
    }

    #[test]
    fn a_term_is_promised_once() {
        let (one, other) = (PeerId([1; 32]), PeerId([2; 32]));
        let last = (Term(5), one);
        assert_eq!(may_promise(last, (Term(5), one)), Ok(()), "the answer was lost, not the promise");
        assert_eq!(may_promise(last, (Term(6), other)), Ok(()));
        for (term, caller) in [(5, other), (4, one), (4, other)] {
            let refused = Err(Refusal::OldTerm { offered: term, current: 5 });
            assert_eq!(may_promise(last, (Term(term), caller)), refused);
        }
    }
}
