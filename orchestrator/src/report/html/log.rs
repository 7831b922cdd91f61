//! Lines of what was told: when, by whom, what.

use std::fmt::Write as _;

use super::frame::note;
use super::text;
use crate::report::story::{Moment, Story, Told};
use crate::report::style::Tone;

pub(super) fn section(story: &Story) -> Option<String> {
    let log = &story.log;
    if log.first.is_empty() {
        return None;
    }
    let mut body = lines(log.first.iter(), None);
    if log.untold > 0 {
        let words = format!(
            "{} lines of the middle are not shown; what follows are those that tell of tests, faults and trouble, and then the end.",
            log.untold
        );
        body += &note(&words);
    }
    body += &lines(log.notable.iter().chain(&log.last), None);
    Some(body)
}

/// `+1.204 s`
pub(super) fn moment(at: Moment) -> String {
    format!("{:+.3} s", at / 1_000.0)
}

/// A list of lines. With a moment, times are before and after it.
pub(super) fn lines<'t>(told: impl Iterator<Item = &'t Told>, around: Option<Moment>) -> String {
    let mut list = String::from("<ol class=\"log\">");
    for told in told {
        let at = moment(told.at - around.unwrap_or_default());
        let from = text::cut(&told.from, 40);
        for line in told.text.split('\n') {
            let _ = write!(
                list,
                "<li class=\"{}\"><time>{at}</time><b>{from}</b><i>{}</i><span>{}</span></li>",
                class(told.tone),
                told.word,
                text::line(line)
            );
        }
    }
    list.push_str("</ol>\n");
    list
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Warning => "warning",
        Tone::Strong => "strong",
        Tone::Faint => "faint",
    }
}
