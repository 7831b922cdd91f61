//! Which calls are for whom.

use meshproof_proto::identity::Role;
use meshproof_proto::rpc::Refusal;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes what a run does.
    Command,
    /// Takes the agent's time and its links' bandwidth, and changes nothing.
    Measure,
    Look,
}

impl Kind {
    fn callers(self) -> &'static [Role] {
        match self {
            Self::Command => &[Role::Orchestrator],
            Self::Measure => &[Role::Orchestrator, Role::OperatorConsole],
            Self::Look => &[Role::Orchestrator, Role::OperatorConsole, Role::Observer],
        }
    }

    /// Whether a caller of this role may.
    pub(crate) fn allow(self, call: &str, role: Role) -> Result<(), Refusal> {
        let needed = self.callers();
        if needed.contains(&role) {
            return Ok(());
        }
        Err(Refusal::NeedsRole { call: call.to_owned(), role, needed: needed.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_make_its_calls_and_a_refusal_says_whose_they_are() {
        let may = |role| [Kind::Look, Kind::Measure, Kind::Command].map(|kind| kind.allow("it", role).is_ok());
        assert_eq!(may(Role::Orchestrator), [true, true, true]);
        assert_eq!(may(Role::OperatorConsole), [true, true, false]);
        assert_eq!(may(Role::Observer), [true, false, false]);
        assert_eq!(may(Role::Agent), [false, false, false]);
        assert_eq!(may(Role::ZoneOperator), [false, false, false]);
        let refused = Kind::Measure.allow("begin_bench", Role::Observer).expect_err("an observer only looks");
        assert_eq!(
            refused.to_string(),
            "`begin_bench` is for an orchestrator or an operator console, not for an observer"
        );
        let refused = Kind::Look.allow("links", Role::ZoneOperator).expect_err("has no use for it");
        assert!(refused.to_string().ends_with("or an observer, not for a zone operator"), "{refused}");
    }
}
