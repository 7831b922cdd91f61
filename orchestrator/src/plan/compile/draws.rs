//! Schedules that are drawn: of faults, and of members that go and come back.

use std::time::Duration;

use super::super::code::Code;
use super::super::compiled::{ChurnStep, DrawStep};
use super::super::diagnostic::Diagnostic;
use super::super::limits::MAX_DRAWN;
use super::super::model::{Churn, Draw, Step, Time};
use super::super::read::Given;
use super::super::source::Spanned;
use super::Compiler;
use super::steps::{Place, inline_name};

/// What is drawn, in words.
struct Words {
    one: &'static str,
    many: &'static str,
}

impl Compiler<'_> {
    pub(super) fn draw(
        &self,
        draw: &Draw,
        (step, place): (&Step, &Place<'_>),
        (over, prove): (Option<Duration>, Option<Spanned<f64>>),
    ) -> Option<DrawStep> {
        if step.lasts.is_none() {
            let problem = Diagnostic::new(Code::MissingKey, draw.span, "it is not said for how long faults are drawn");
            self.cx.report(problem.expected("`for` beside `fault`"));
        }
        let mut faults = Vec::new();
        for name in &draw.faults {
            faults.extend(self.names.fault(name).and_then(|fault| self.fault(&name.value, fault)));
        }
        let words = Words { one: "a fault", many: "faults" };
        let (times, lasting) = self.dealt_out((&draw.times, &draw.lasting), over, &words)?;
        let is_whole = faults.len() == draw.faults.len() && !faults.is_empty();
        let name = inline_name(step, place);
        is_whole.then_some(DrawStep { name, faults, times, over: over?, lasting, prove })
    }

    pub(super) fn churn(&self, step: &Step, churn: &Churn) -> Option<ChurnStep> {
        let over = step.lasts.as_ref().and_then(|lasts| self.settled.duration(lasts));
        if step.lasts.is_none() {
            let problem =
                Diagnostic::new(Code::MissingKey, step.verb.span, "it is not said for how long members go and come");
            self.cx.report(problem.expected("`for` beside `churn`"));
        }
        let members = self.names.group(&churn.of)?.to_vec();
        let words = Words { one: "an absence", many: "absences" };
        let (times, away) = self.dealt_out((&churn.times, &churn.away), over, &words)?;
        Some(ChurnStep { group: churn.of.value.clone(), members, times, over: over?, away })
    }

    /// How many, and the least and the most that each lasts: one at a time, in so long.
    fn dealt_out(
        &self,
        (times, lasting): (&Spanned<Given<u64>>, &(Time, Time)),
        over: Option<Duration>,
        words: &Words,
    ) -> Option<(u32, (Duration, Duration))> {
        let (settled, Words { one, many }) = (self.settled.count(times), words);
        let (least, most) = (self.settled.duration(&lasting.0)?, self.settled.duration(&lasting.1)?);
        if least > most {
            let message = format!("the least that {one} lasts is more than the most");
            let problem = Diagnostic::new(Code::OutOfRange, lasting.0.span, message);
            self.cx.report(problem.expected("the shorter time first"));
            return None;
        }
        let (over, settled) = (over?, settled.filter(|times| *times > 0)?);
        let Some(settled) = u32::try_from(settled).ok().filter(|times| *times <= MAX_DRAWN) else {
            let problem = Diagnostic::new(Code::OutOfRange, times.span, format!("so many {many} nobody looks through"));
            self.cx.report(problem.expected(format!("at most {MAX_DRAWN}")));
            return None;
        };
        if most > over / settled {
            let message = format!("{settled} {many} of up to {most:?}, one at a time, do not fit into {over:?}");
            let problem = Diagnostic::new(Code::OutOfRange, lasting.1.span, message);
            self.cx.report(problem.expected(format!("at most {:?}", over / settled)));
            return None;
        }
        Some((settled, (least, most)))
    }
}
