//! What agents answer, for people: a line, and what there is to read behind it. All of it came from elsewhere and is sanitised.

use meshproof_proto::event::{Outcome, Steering, StepResult};
use meshproof_proto::order::FaultReport;
use meshproof_proto::rpc::{LogLines, Status};
use meshproof_proto::stub::StubReport;
use meshproof_proto::verdict::Exit;

use crate::report::sanitise::{block, cut, line as clean};
use crate::report::summary::counted;

/// Lines of an answer that are shown at once; `/show t3` shows all.
const SHOWN: usize = 20;

/// Characters of one of them.
const WIDTH: usize = 200;

/// What came of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub exit: Exit,
    /// In one line, with who answers.
    pub status: String,
    /// What to read at once.
    pub text: String,
    /// All there is.
    pub detail: String,
    /// The status of the one exchange that it was.
    pub saw: Option<u16>,
}

impl Answer {
    /// A line and nothing behind it.
    pub fn of(exit: Exit, status: impl Into<String>) -> Self {
        Self { exit, status: clean(&status.into()), text: String::new(), detail: String::new(), saw: None }
    }

    /// Several as one.
    #[must_use]
    pub fn all(mut answers: Vec<Self>) -> Self {
        if answers.len() == 1
            && let Some(only) = answers.pop()
        {
            return only;
        }
        let exit = Exit::of(answers.iter().map(|answer| answer.exit));
        let well = answers.iter().filter(|answer| answer.exit == Exit::Passed).count();
        let status = format!("{well} of {} well", answers.len());
        let joined = |part: fn(&Self) -> &String| {
            answers.iter().map(|answer| format!("{}\n{}", answer.status, part(answer))).collect()
        };
        Self { exit, status, text: joined(|answer| &answer.text), detail: joined(|answer| &answer.detail), saw: None }
    }
}

/// Of a step, whose checks were of these fields.
#[must_use]
pub fn step(agent: &str, result: &StepResult, fields: &[String]) -> Answer {
    let took = format!("in {:.1} ms", result.duration_ms);
    let tries = if result.tries > 1 { format!(", {} tries", result.tries) } else { String::new() };
    let came = came(result);
    let (exit, how) = match &result.outcome {
        Outcome::Ok => (Exit::Passed, came.as_ref().map_or_else(|| "ok".to_owned(), |(headline, _)| headline.clone())),
        Outcome::Failed(failures) => {
            let said = failures.iter().map(|failure| {
                let mismatch = &failure.mismatch;
                let field = usize::try_from(failure.check).ok().and_then(|check| fields.get(check));
                let place: Vec<&str> = field.map(String::as_str).into_iter().chain([mismatch.at.as_str()]).collect();
                format!("{}: expected {}, came {}", place.join(" ").trim(), mismatch.expected, mismatch.actual)
            });
            (Exit::Failed, said.collect::<Vec<_>>().join("; "))
        }
        Outcome::CallFailed { message } => (Exit::Failed, message.clone()),
        Outcome::Unknown { message } => (Exit::MeshFailed, format!("unknown: {message}")),
        Outcome::Error { message } => (Exit::MeshFailed, message.clone()),
    };
    let saw = came.as_ref().and_then(|(headline, _)| headline.parse().ok());
    let body = came.map(|(_, body)| body).unwrap_or_default();
    let detail =
        result.evidence.iter().map(|piece| format!("{}:\n{}", clean(&piece.title), indented(&piece.text, usize::MAX)));
    Answer {
        exit,
        status: clean(&format!("{agent}: {} {took}{tries}", cut(&how, WIDTH))),
        text: indented(&body, SHOWN),
        detail: detail.collect(),
        saw,
    }
}

/// The first line of what came, and the rest of it.
fn came(result: &StepResult) -> Option<(String, String)> {
    let of = |title: &str| result.evidence.iter().find(|piece| piece.title == title).map(|piece| piece.text.as_str());
    if let Some(printed) = of("stdout").or_else(|| of("stderr")) {
        return Some(("ok".to_owned(), printed.to_owned()));
    }
    let response = of("response")?;
    // status, headers, an empty line, the body, an empty line, what each phase took
    match response.split_once('\n') {
        Some((status, rest)) if rest.contains("\n\n") => {
            let (_, body) = rest.split_once("\n\n").unwrap_or_default();
            let body = body.rsplit_once("\n\n").map_or(body, |(body, _)| body);
            Some((status.to_owned(), body.to_owned()))
        }
        Some(_) | None => Some(("answered".to_owned(), response.to_owned())),
    }
}

/// Lines of a log.
#[must_use]
pub fn log(agent: &str, lines: &LogLines) -> Answer {
    let of_several = lines.lines.windows(2).any(|pair| pair[0].log != pair[1].log);
    let text: String = lines
        .lines
        .iter()
        .map(|line| match of_several {
            true => format!("  | {}: {}\n", clean(&line.log), cut(&clean(&line.text), WIDTH)),
            false => format!("  | {}\n", cut(&clean(&line.text), WIDTH)),
        })
        .collect();
    let before = if lines.left_out > 0 { format!(", {} older are left out", lines.left_out) } else { String::new() };
    let status = format!("{agent}: {}{before}", counted(lines.lines.len(), "line"));
    Answer { exit: Exit::Passed, status: clean(&status), detail: text.clone(), text, saw: None }
}

/// A run is held, or goes on, if one of its agents was told.
#[must_use]
pub fn steered(how: Steering, told: Vec<Result<(), Answer>>) -> Answer {
    let silent: Vec<Answer> = told.iter().filter_map(|told| told.clone().err()).collect();
    if silent.len() == told.len() {
        return Answer::all(silent);
    }
    let status = match how {
        Steering::Pause => "no step begins now; `/step` lets one begin, `/resume` all",
        Steering::Step => "one step begins, and no other behind it",
        Steering::Resume => "the run goes on",
    };
    let text = silent.iter().map(|answer| format!("  | {}\n", answer.status)).collect();
    Answer { text, ..Answer::of(Exit::Passed, status) }
}

/// A fault that has ended.
#[must_use]
pub fn healed(agent: &str, report: &FaultReport) -> Answer {
    let measured = if report.measured.is_empty() { "nothing" } else { &report.measured };
    let status = format!("{agent}: {} ended: asked {}, measured {measured}", report.fault, report.asked);
    match report.healed {
        true => Answer::of(Exit::Passed, status),
        false => Answer::of(Exit::NotHealed, format!("{status}; not confirmed as healed")),
    }
}

/// What an agent holds.
#[must_use]
pub fn state(status: &Status, stubs: &[StubReport]) -> Answer {
    let run = match &status.run {
        Some((authority, term)) => format!("run {}, term {}", authority.run, term.0),
        None => "no run".to_owned(),
    };
    let Status { service, steps_running, faults_active, events_unacked, .. } = status;
    let faults =
        if faults_active.is_empty() { "no fault".to_owned() } else { format!("faults: {}", faults_active.join(", ")) };
    let (steps, events) = (
        counted(usize::try_from(*steps_running).unwrap_or(usize::MAX), "step"),
        counted(usize::try_from(*events_unacked).unwrap_or(usize::MAX), "event"),
    );
    let status = format!("{service}: {run}, {steps} under way, {faults}, {events} not acknowledged");
    let stub = |stub: &StubReport| {
        let calls = stub.routes.iter().map(|(route, calls)| format!("{route} {calls}")).collect::<Vec<_>>().join(", ");
        let health = if stub.healthy { "answers" } else { "silent" };
        format!("  | stub {} {health}: {calls}, unmatched {}\n", clean(&stub.name), stub.unmatched).replace(": ,", ":")
    };
    let text: String = stubs.iter().map(stub).collect();
    Answer { exit: Exit::Passed, status: clean(&status), detail: text.clone(), text, saw: None }
}

fn indented(text: &str, most: usize) -> String {
    let text = block(text.trim_end());
    let mut lines = text.lines();
    let mut shown: String = lines
        .by_ref()
        .take(most)
        .map(|line| format!("  | {}\n", cut(line, WIDTH)).replace("  | \n", "  |\n"))
        .collect();
    let left = lines.count();
    if left > 0 {
        shown += &format!("  | … {left} more lines\n");
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use meshproof_proto::event::{CheckFailure, Evidence};
    use meshproof_proto::matcher::Mismatch;
    use meshproof_proto::rpc::LogText;

    use super::*;

    fn result(outcome: Outcome, evidence: &[(&str, &str)]) -> StepResult {
        let evidence =
            evidence.iter().map(|(title, text)| Evidence { title: (*title).to_owned(), text: (*text).to_owned() });
        StepResult { outcome, duration_ms: 2.14, tries: 1, saved: BTreeMap::new(), evidence: evidence.collect() }
    }

    #[test]
    fn an_answer_is_a_line_and_what_to_read_and_nothing_of_it_moves_the_cursor() {
        let response = "200\ncontent-type: text/plain\n\nfine\u{1b}[2J\n\nconnect 0.1 ms";
        let well = step("shop", &result(Outcome::Ok, &[("request", "GET /"), ("response", response)]), &[]);
        assert_eq!((well.status.as_str(), well.text.as_str()), ("shop: 200 in 2.1 ms", "  | fine\\u{1b}[2J\n"));
        assert!(
            well.detail.contains("request:\n  | GET /\n") && well.detail.contains("content-type"),
            "{}",
            well.detail
        );
        let printed = step("shop", &result(Outcome::Ok, &[("request", "date"), ("stdout", "now\n")]), &[]);
        assert_eq!((printed.status.as_str(), printed.text.as_str()), ("shop: ok in 2.1 ms", "  | now\n"));
        let line = step("ledger", &result(Outcome::Ok, &[("response", "PONG\n")]), &[]);
        assert_eq!((line.status.as_str(), line.text.as_str()), ("ledger: answered in 2.1 ms", "  | PONG\n"));
    }

    #[test]
    fn what_did_not_hold_says_what_was_expected_and_each_ending_has_its_exit() {
        let mismatch = Mismatch { at: String::new(), expected: "200".to_owned(), actual: "404".to_owned() };
        let message = || "no".to_owned();
        for (outcome, exit, said) in [
            (
                Outcome::Failed(vec![CheckFailure { check: 0, mismatch }]),
                Exit::Failed,
                "status: expected 200, came 404",
            ),
            (Outcome::CallFailed { message: message() }, Exit::Failed, "shop: no in"),
            (Outcome::Unknown { message: message() }, Exit::MeshFailed, "unknown: no"),
            (Outcome::Error { message: message() }, Exit::MeshFailed, "shop: no in"),
        ] {
            let answer = step("shop", &result(outcome, &[]), &["status".to_owned()]);
            assert_eq!(answer.exit, exit);
            assert!(answer.status.contains(said), "{}", answer.status);
        }
    }

    #[test]
    fn several_answers_are_one_with_the_exit_that_counts() {
        let one = Answer::of(Exit::Passed, "shop: pong");
        assert_eq!(Answer::all(vec![one.clone()]), one);
        let all = Answer::all(vec![one, Answer::of(Exit::MeshFailed, "ledger: no answer")]);
        assert_eq!((all.exit, all.status.as_str()), (Exit::MeshFailed, "1 of 2 well"));
        assert_eq!(all.text, "shop: pong\nledger: no answer\n");
    }

    #[test]
    fn lines_of_several_logs_say_whose_they_are() {
        let text = |log: &str, text: &str| LogText { log: log.to_owned(), text: text.to_owned() };
        let one = log("ledger", &LogLines { lines: vec![text("audit", "posted 7")], left_out: 3 });
        assert_eq!(
            (one.status.as_str(), one.text.as_str()),
            ("ledger: 1 line, 3 older are left out", "  | posted 7\n")
        );
        let two = log("ledger", &LogLines { lines: vec![text("audit", "a"), text("stdout", "b")], left_out: 0 });
        assert_eq!(two.text, "  | audit: a\n  | stdout: b\n");
    }
}
