//! What a room hears of its run by itself: what somebody would say aloud who watches it. All the rest is what `/attach` shows.

use meshproof_proto::event::Fact;

use crate::record::{Entry, Happening};

/// Whether it is said in the room.
#[must_use]
pub fn is_news(what: &Happening) -> bool {
    match what {
        Happening::Failure(_)
        | Happening::TestEnded { .. }
        | Happening::FaultBegan { .. }
        | Happening::FaultsDrawn { .. }
        | Happening::FaultEnded(_)
        | Happening::AgentLost { .. }
        | Happening::FailoverDetected { .. }
        | Happening::FailoverComplete { .. }
        | Happening::TakenOver { .. }
        | Happening::ServiceEnded { .. }
        // `say` of a plan is a line to the chat, and notes say that somebody holds the run, or that its disk is full
        | Happening::Said { .. }
        | Happening::Noted { .. }
        | Happening::RunEnded { .. } => true,
        // of a fault that a person began, that its lease is over
        Happening::Fact(Fact::FaultEnded(_) | Fact::Stalled { .. } | Fact::GoesOn { .. } | Fact::Gap { .. }) => true,
        Happening::Fact(_)
        | Happening::RunBegan { .. }
        | Happening::BuildBegan { .. }
        | Happening::BuildEnded { .. }
        | Happening::AgentJoined { .. }
        | Happening::MeshFormed { .. }
        | Happening::FailoverDecided { .. }
        | Happening::ServiceReady { .. }
        | Happening::ServiceStarted { .. }
        | Happening::MemberEnded { .. }
        | Happening::Expected { .. }
        | Happening::Initialized { .. }
        | Happening::TestBegan { .. }
        | Happening::TestNotRun { .. }
        | Happening::StepBegan(_)
        | Happening::StepEnded { .. }
        | Happening::Collected { .. }
        | Happening::Invoked(_) => false,
    }
}

/// The line for it, if there is one: as the run's own terminal has it, a word and what it is about.
#[must_use]
pub fn line(entry: &Entry, (word, text): (&str, &str)) -> Option<String> {
    is_news(&entry.what).then(|| {
        let lines: Vec<String> = text.split('\n').map(|line| format!("{word:>9} {line}")).collect();
        lines.join("\n")
    })
}

#[cfg(test)]
mod tests {
    use meshproof_proto::verdict::Verdict;

    use super::*;

    #[test]
    fn what_somebody_would_say_aloud_is_said_and_steps_are_not() {
        let test = Happening::TestEnded { test: "t".to_owned(), verdict: Verdict::Fail, duration_ms: 1.0 };
        let lost = Happening::AgentLost { name: "shop".parse().expect("a name"), reason: "killed".to_owned() };
        let said = Happening::Said { text: "half way".to_owned() };
        for what in [test, lost, said] {
            assert!(is_news(&what), "{what:?}");
        }
        for what in [Happening::TestBegan { test: "t".to_owned() }, Happening::Collected { files: Vec::new() }] {
            assert!(!is_news(&what), "{what:?}");
        }
        let lost = Entry::own(1, Happening::Noted { text: "a\nb".to_owned() });
        assert_eq!(line(&lost, ("note", "a\nb")).as_deref(), Some("     note a\n     note b"));
    }
}
