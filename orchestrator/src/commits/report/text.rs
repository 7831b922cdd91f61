//! For terminals: a line for everything that is told, and a table at the end.

use crate::commits::attempt::{Status, clock};
use crate::commits::results::{CommitResult, Found, Results};
use crate::commits::session::News;
use crate::record::now_ms;
use crate::report::sanitise;
use crate::report::style::{Style, Tone};
use crate::report::summary::counted;
use crate::report::table::{short, table};

/// Characters of a commit's message in the table.
const MESSAGE: usize = 44;

/// A line, or several, each with the time at which it came.
#[must_use]
pub fn told(news: &News<'_>, style: Style) -> String {
    let line = |at_ms: u64, commit: &str, word: &str, text: &str| {
        format!(
            "{} {} {word} {}\n",
            style.paint(Tone::Faint, &clock(at_ms)),
            style.paint(Tone::Strong, commit),
            sanitise::line(text)
        )
    };
    match news {
        News::Began { name, repository, commits } => {
            let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
            format!("{name}{} of {}\n", counted(*commits, "commit"), sanitise::line(repository))
        }
        News::Testing { commit, number } => {
            let again = if *number > 1 { format!(" ({number}. time)") } else { String::new() };
            line(now_ms(), commit.short(), "testing", &format!("{}{again}", commit.subject))
        }
        News::Line { commit, told } => {
            told.text.lines().map(|text| line(told.at_ms, commit.short(), "|", text)).collect()
        }
        News::Tested { commit, attempted } => {
            let word = style.paint(tone(attempted.status), attempted.status.word());
            let why = attempted.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            line(now_ms(), commit.short(), &word, &format!("in {:.1} s{why}", attempted.duration_ms / 1e3))
        }
        News::Dropped { commit } => {
            line(now_ms(), commit.short(), "dropped", "the other results of this round say enough")
        }
    }
}

fn tone(status: Status) -> Tone {
    match status {
        Status::Passed => Tone::Good,
        Status::Failed | Status::BuildFailed | Status::Error => Tone::Bad,
        Status::Skipped | Status::Interrupted => Tone::Warning,
    }
}

/// The table, what it comes to, and what was found.
#[must_use]
pub fn summary(results: &Results, style: Style) -> String {
    let rows: Vec<[String; 6]> = results.commits.iter().map(row).collect();
    let mut text = table(["COMMIT", "RESULT", "TOOK", "TIMES", "MESSAGE", "WHY"], &rows);
    let counts = [Status::Passed, Status::Failed, Status::BuildFailed, Status::Skipped, Status::Error]
        .into_iter()
        .filter_map(|status| Some((results.count(status), status)).filter(|(count, _)| *count > 0))
        .map(|(count, status)| format!("{count} {}", status.word()));
    let counts: Vec<String> = counts.collect();
    let mean =
        results.commits.iter().flat_map(|commit| &commit.attempts).map(|attempted| attempted.duration_ms).sum::<f64>()
            / results.attempts.max(1) as f64;
    text += &format!(
        "{} of {} tested, {} in {:.1} s (mean {:.1} s): {}\n",
        results.commits.len(),
        counted(results.of, "commit"),
        counted(results.attempts, "test"),
        results.duration_ms / 1e3,
        mean / 1e3,
        if counts.is_empty() { "nothing is known".to_owned() } else { counts.join(", ") },
    );
    for commit in results.commits.iter().filter(|commit| commit.flaky) {
        text += &format!("{} {}\n", style.paint(Tone::Warning, "flaky"), flake(commit));
    }
    if results.interrupted {
        text += &format!("{} this is what is known so far\n", style.paint(Tone::Warning, "interrupted"));
    }
    if let Some(found) = &results.found {
        let (tone, word) = match found {
            Found::Culprit(_) => (Tone::Good, "found"),
            _ => (Tone::Bad, "undecided"),
        };
        let words: Vec<String> = found.words().lines().map(sanitise::line).collect();
        text += &format!("{} {}\n", style.paint(tone, word), words.join("\n"));
    }
    text
}

fn row(commit: &CommitResult) -> [String; 6] {
    let flaky = if commit.flaky { " (flaky)" } else { "" };
    [
        commit.short().to_owned(),
        format!("{}{flaky}", commit.status.word()),
        format!("{:.1} s", commit.duration_ms / 1e3),
        commit.attempts.len().to_string(),
        short(&commit.message, MESSAGE),
        if commit.success { String::new() } else { commit.why().unwrap_or_default().to_owned() },
    ]
}

fn flake(commit: &CommitResult) -> String {
    let came_to = |status: Status| commit.attempts.iter().filter(|attempted| attempted.status == status).count();
    let (passed, failed) = (came_to(Status::Passed), came_to(Status::Failed));
    format!("{} passed {passed} and failed {failed} of {}", commit.short(), counted(commit.attempts.len(), "time"))
}
