//! What each agent holds of a run: in whose name it takes orders, and what it has not told.

use meshproof_proto::id::{Digest, Name, RunId, Term};
use serde::Serialize;

use super::look::Silent;
use crate::history::Brief;
use crate::report::table::table;

/// Characters of a digest that tell one plan from another in a table; `--json` has all of them.
const DIGEST_CHARS: usize = 12;

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holding {
    pub agent: Name,
    pub run: Option<RunId>,
    /// The plan whose orders it takes; of any other it refuses them.
    pub plan: Option<Digest>,
    /// The lowest term whose orders it takes.
    pub term: Option<Term>,
    pub steps_running: u32,
    pub events_unacknowledged: u64,
    /// The run is over here.
    pub is_over: bool,
    /// That it does not answer, and why.
    pub silent: Option<String>,
}

impl Holding {
    pub(super) fn of(agent: Name, status: meshproof_proto::rpc::Status) -> Self {
        let authority = status.run.as_ref().map(|(authority, _)| authority);
        Self {
            agent,
            run: authority.map(|authority| authority.run.clone()),
            plan: authority.map(|authority| authority.plan),
            term: status.run.as_ref().map(|(_, term)| *term),
            steps_running: status.steps_running,
            events_unacknowledged: status.events_unacked,
            is_over: status.is_over,
            silent: None,
        }
    }

    pub(super) fn unheard(Silent { name, why }: Silent) -> Self {
        Self {
            agent: name,
            run: None,
            plan: None,
            term: None,
            steps_running: 0,
            events_unacknowledged: 0,
            is_over: false,
            silent: Some(why),
        }
    }

    /// Whether it holds that run as its journal says that it began.
    #[must_use]
    pub fn is_of(&self, brief: &Brief) -> bool {
        self.difference(brief).is_none()
    }

    fn difference(&self, brief: &Brief) -> Option<String> {
        match () {
            () if self.silent.is_some() => self.silent.as_ref().map(|why| format!("does not answer: {why}")),
            () if self.run.as_ref().is_none_or(|run| run.0 != brief.run) => Some("takes no part in it".to_owned()),
            () if self.plan != brief.digest => Some("holds another plan".to_owned()),
            () if self.term != brief.term => Some("is at another term".to_owned()),
            () => None,
        }
    }
}

/// The table.
#[must_use]
pub fn text(brief: &Brief, agents: &[Holding]) -> String {
    let row = |holding: &Holding| {
        let plan = holding.plan.map(|plan| plan.to_string()[..DIGEST_CHARS].to_owned());
        let term = holding.term.map(|term| term.0.to_string());
        [
            holding.agent.to_string(),
            plan.unwrap_or_else(|| "-".to_owned()),
            term.unwrap_or_else(|| "-".to_owned()),
            holding.steps_running.to_string(),
            holding.events_unacknowledged.to_string(),
            holding.difference(brief).unwrap_or_else(|| "as the run".to_owned()),
        ]
    };
    let rows: Vec<[String; 6]> = agents.iter().map(row).collect();
    table(["AGENT", "PLAN", "TERM", "STEPS", "UNTOLD", "HOLDS IT"], &rows)
}

#[cfg(test)]
mod tests {
    use meshproof_proto::order::Authority;
    use meshproof_proto::rpc::Status;

    use super::*;
    use crate::history::State;

    fn brief() -> Brief {
        Brief { digest: Some(Digest([7; 32])), term: Some(Term(2)), state: State::GoesOn, ..Brief::named("r-1") }
    }

    fn holding(run: &str, plan: u8, term: u64) -> Holding {
        let authority = Authority { run: RunId(run.to_owned()), term: Term(term), plan: Digest([plan; 32]) };
        let service: Name = "shop".parse().expect("a name");
        let status = Status {
            service: service.clone(),
            run: Some((authority, Term(term))),
            steps_running: 1,
            faults_active: Vec::new(),
            events_unacked: 3,
            is_over: false,
        };
        Holding::of(service, status)
    }

    #[test]
    fn an_agent_that_holds_another_plan_or_term_is_told_from_one_that_holds_the_runs() {
        assert!(holding("r-1", 7, 2).is_of(&brief()));
        let silent = Holding::unheard(Silent { name: "ledger".parse().expect("a name"), why: "gone".to_owned() });
        for (other, what) in [
            (holding("r-2", 7, 2), "takes no part in it"),
            (holding("r-1", 8, 2), "holds another plan"),
            (holding("r-1", 7, 1), "is at another term"),
            (silent, "does not answer: gone"),
        ] {
            assert!(!other.is_of(&brief()));
            assert!(text(&brief(), &[other]).contains(what), "{what}");
        }
        assert!(
            text(&brief(), &[holding("r-1", 7, 2)]).contains("shop   070707070707  2     1      3       as the run")
        );
    }
}
