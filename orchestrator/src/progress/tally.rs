//! What a reader of lines wants counted: how many tests there were so far, of how many, and at the end which did not pass.

use meshproof_proto::verdict::Verdict;

use crate::record::Happening;

/// Tests that are listed at the end; all of them stand in every report.
const LISTED: usize = 20;

/// Failures that are kept for the end; of more there is the number, and each stands in the reports.
const KEPT: usize = 100;

/// When what is known of a failure is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FailureOutput {
    /// When it happens.
    #[default]
    Immediate,
    /// At the end, all together.
    Final,
    /// Both.
    ImmediateFinal,
    /// Not here; reports have it.
    Never,
}

impl FailureOutput {
    fn at_once(self) -> bool {
        matches!(self, Self::Immediate | Self::ImmediateFinal)
    }

    fn at_the_end(self) -> bool {
        matches!(self, Self::Final | Self::ImmediateFinal)
    }
}

/// The run so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    tests: usize,
    over: usize,
    /// Lines of those that did not pass.
    not_passed: Vec<String>,
    kept: Vec<String>,
    kept_not: usize,
}

impl Tally {
    /// What is shown of a record whose text this is.
    pub(super) fn shown(&mut self, what: &Happening, text: Option<String>, output: FailureOutput) -> Option<String> {
        match what {
            Happening::Expected { tests, .. } => self.tests = tests.len(),
            Happening::TestEnded { verdict, .. } => {
                self.over += 1;
                let counted = text.as_deref().map(|text| self.counted(text));
                if *verdict != Verdict::Pass {
                    self.not_passed.extend(text);
                }
                return counted;
            }
            Happening::TestNotRun { .. } => {
                self.over += 1;
                self.not_passed.extend(text.clone());
            }
            Happening::Failure(_) => return text.and_then(|text| self.failure(text, output)),
            Happening::RunEnded { .. } => return text.map(|text| self.ended(&text)),
            _ => {}
        }
        text
    }

    /// `     PASS [  0.272s] looks (1/2)`
    fn counted(&self, text: &str) -> String {
        if self.tests < 2 { text.to_owned() } else { format!("{} ({}/{})\n", text.trim_end(), self.over, self.tests) }
    }

    fn failure(&mut self, text: String, output: FailureOutput) -> Option<String> {
        if output.at_the_end() {
            match self.kept.len() < KEPT {
                true => self.kept.push(text.clone()),
                false => self.kept_not += 1,
            }
        }
        output.at_once().then_some(text)
    }

    /// What was kept, the summary, and which tests did not pass where there were several.
    fn ended(&mut self, summary: &str) -> String {
        let mut text: String = std::mem::take(&mut self.kept).concat();
        if self.kept_not > 0 {
            text += &format!("{} more failures are in the reports\n", self.kept_not);
        }
        let (first, rest) = summary.split_once('\n').unwrap_or((summary, ""));
        text.extend([first, "\n"]);
        if self.tests > 1 {
            text.extend(self.not_passed.iter().take(LISTED).map(String::as_str));
            let more = self.not_passed.len().saturating_sub(LISTED);
            if more > 0 {
                text += &format!("{:>9} {more} more that did not pass\n", "");
            }
        }
        text + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{FailureRecord, Summary};

    fn over(tally: &mut Tally, test: &str, verdict: Verdict) -> String {
        let what = Happening::TestEnded { test: test.to_owned(), verdict, duration_ms: 1.0 };
        tally.shown(&what, Some(format!("WORD {test}\n")), FailureOutput::Immediate).expect("a line")
    }

    fn ended(tally: &mut Tally) -> String {
        let what = Happening::RunEnded { verdict: Verdict::Fail, exit: 1, summary: Summary::default() };
        tally.shown(&what, Some("Summary\nreports\n".to_owned()), FailureOutput::Immediate).expect("lines")
    }

    fn expecting(tests: usize) -> Tally {
        let mut tally = Tally::default();
        let tests = (0..tests).map(|at| format!("t{at}")).collect();
        tally.shown(&Happening::Expected { steps: Vec::new(), tests }, None, FailureOutput::Immediate);
        tally
    }

    #[test]
    fn tests_are_counted_and_those_that_did_not_pass_are_listed_below_the_summary() {
        let mut tally = expecting(3);
        assert_eq!(over(&mut tally, "t0", Verdict::Pass), "WORD t0 (1/3)\n");
        assert_eq!(over(&mut tally, "t1", Verdict::Fail), "WORD t1 (2/3)\n");
        let not_run = Happening::TestNotRun { test: "t2".to_owned(), why: String::new() };
        tally.shown(&not_run, Some("NOT RUN t2\n".to_owned()), FailureOutput::Immediate);
        assert_eq!(ended(&mut tally), "Summary\nWORD t1\nNOT RUN t2\nreports\n");
        let mut many = expecting(30);
        (0..30).for_each(|at| drop(over(&mut many, &format!("t{at}"), Verdict::Fail)));
        assert!(ended(&mut many).contains("WORD t19\n          10 more that did not pass\nreports"));
        let mut one = expecting(1);
        assert_eq!(over(&mut one, "t0", Verdict::Fail), "WORD t0\n");
        assert_eq!(ended(&mut one), "Summary\nreports\n", "there is nothing to look for");
    }

    #[test]
    fn what_is_known_of_a_failure_is_shown_when_somebody_wants_it() {
        let failed = |output| {
            let mut tally = expecting(1);
            let (verdict, title) = (Verdict::Fail, "why".to_owned());
            let (test, step, place, expected, actual) = (None, None, None, None, None);
            let record = FailureRecord { verdict, test, step, place, title, expected, actual, evidence: Vec::new() };
            let what = Happening::Failure(Box::new(record));
            let at_once = tally.shown(&what, Some("why\n".to_owned()), output);
            (at_once.is_some(), ended(&mut tally).starts_with("why\nSummary"))
        };
        assert_eq!(failed(FailureOutput::Immediate), (true, false));
        assert_eq!(failed(FailureOutput::Final), (false, true));
        assert_eq!(failed(FailureOutput::ImmediateFinal), (true, true));
        assert_eq!(failed(FailureOutput::Never), (false, false));
    }
}
