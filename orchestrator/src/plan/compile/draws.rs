//! Schedules of faults that are drawn.

use std::time::Duration;

use super::super::code::Code;
use super::super::compiled::DrawStep;
use super::super::diagnostic::Diagnostic;
use super::super::limits::MAX_DRAWN;
use super::super::model::{Draw, Step};
use super::super::source::Spanned;
use super::Compiler;
use super::steps::{Place, inline_name};

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
            let fault = self.names.fault(name).and_then(|fault| self.fault(&name.value, fault));
            if let (Some(fault), Some(prove)) = (&fault, &prove) {
                self.provable(fault, prove.span);
            }
            faults.extend(fault);
        }
        let times = self.settled.count(&draw.times);
        let (least, most) = (self.settled.duration(&draw.lasting.0)?, self.settled.duration(&draw.lasting.1)?);
        if least > most {
            let message = "the least that a fault lasts is more than the most";
            let problem = Diagnostic::new(Code::OutOfRange, draw.lasting.0.span, message);
            self.cx.report(problem.expected("the shorter time first"));
            return None;
        }
        let (over, times) = (over?, times.filter(|times| *times > 0)?);
        let Some(times) = u32::try_from(times).ok().filter(|times| *times <= MAX_DRAWN) else {
            let problem = Diagnostic::new(Code::OutOfRange, draw.times.span, "so many faults nobody looks through");
            self.cx.report(problem.expected(format!("at most {MAX_DRAWN}")));
            return None;
        };
        if most > over / times {
            let message = format!("{times} faults of up to {most:?}, one at a time, do not fit into {over:?}");
            let problem = Diagnostic::new(Code::OutOfRange, draw.lasting.1.span, message);
            self.cx.report(problem.expected(format!("at most {:?}", over / times)));
            return None;
        }
        let is_whole = faults.len() == draw.faults.len() && !faults.is_empty();
        let name = inline_name(step, place);
        is_whole.then_some(DrawStep { name, faults, times, over, lasting: (least, most), prove })
    }
}
