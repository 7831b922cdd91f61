//! What GitHub's runners show beside a job: failures as annotations at their line of the plan, and a summary of the job.
//!
//! <https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions>

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use super::failure::headline;
use super::markdown::markdown;
use super::sanitise;
use super::story::{Failure, Story};
use crate::say;

/// Annotations of one job that GitHub shows.
const SHOWN: usize = 10;

/// Characters of one.
const LONGEST: usize = 2_000;

/// Tells the runner, if there is one.
pub fn tell(story: &Story) {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if set("GITHUB_ACTIONS").as_deref() == Some("true") {
        say::beside(&annotations(story));
    }
    if let Some(file) = set("GITHUB_STEP_SUMMARY")
        && let Err(error) = append(Path::new(&file), &markdown(story))
    {
        say::note(format_args!("meshproof: cannot write the summary of this job: {error}"));
    }
}

fn append(file: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).open(file)?.write_all(text.as_bytes())
}

/// A command for each failure.
#[must_use]
pub fn annotations(story: &Story) -> String {
    story.failures.iter().take(SHOWN).map(annotation).collect()
}

fn annotation(failure: &Failure) -> String {
    let record = &failure.record;
    let mut message = headline(record);
    for (name, value) in [("expected", &record.expected), ("actual", &record.actual)] {
        if let Some(value) = value {
            message += &format!("\n{name}: {value}");
        }
    }
    let message: String = sanitise::block(&message).chars().take(LONGEST).collect();
    let place = record
        .place
        .as_ref()
        .map(|place| format!("file={},line={},col={},", property(&place.file), place.line, place.column));
    let title = record.test.as_deref().unwrap_or("the run");
    format!("::error {}title={}::{}\n", place.unwrap_or_default(), property(title), data(&message))
}

/// As the runner takes apart what stands behind `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The same for what stands before it.
fn property(text: &str) -> String {
    data(&sanitise::line(text)).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_property_or_a_command_is_encoded() {
        assert_eq!(data("a\n100%"), "a%0A100%25");
        assert_eq!(property("a,b:c\n%"), "a%2Cb%3Ac\\n%25");
    }
}
