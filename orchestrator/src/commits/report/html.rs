//! A page that opens from disk, in the style of a run's.

use std::fmt::Write as _;

use crate::commits::attempt::{Attempted, Status};
use crate::commits::results::{CommitResult, Found, Results};
use crate::report::page::{Frame, block, line, standing};

/// The page.
#[must_use]
pub fn html(results: &Results) -> String {
    let verdict = if results.exit() == meshproof_proto::verdict::Exit::Passed { "pass" } else { "fail" };
    let name = results.name.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
    let title = format!("{name}commits of {}", results.repository);
    let mut header = format!("<header><h1>{}</h1>\n<p class=\"note\">{}</p>\n", line(&title), line(&results.run));
    if let Some(found) = &results.found {
        let word = if matches!(found, Found::Culprit(_)) { "found" } else { "undecided" };
        let _ = writeln!(header, "<p><strong>{word}</strong> {}</p>", block(&found.words()).replace('\n', "<br>"));
    }
    if results.interrupted {
        header.push_str("<p><strong>interrupted</strong>: this is what was known</p>\n");
    }
    header.push_str("</header>");
    let rows: String = results.commits.iter().map(row).collect();
    let table = format!(
        "<div class=\"scroll\"><table><thead><tr><th>Commit</th><th>Result</th><th>Took</th><th>Times</th><th>Message</th><th>Why</th></tr></thead>\n\
         <tbody>{rows}</tbody></table></div>\n"
    );
    let output: String = results.commits.iter().map(output).collect();
    let footer = "Read from the journals of the runs; times are those of who told them.";
    let frame = Frame { class: verdict, title: &title, header: &header, footer };
    standing(&frame, &[("commits", "Commits", table), ("output", "What they printed", output)])
}

fn row(commit: &CommitResult) -> String {
    let flaky = if commit.flaky { " (flaky)" } else { "" };
    format!(
        "<tr><td><code>{}</code></td><td><span class=\"tag {}\">{}{flaky}</span></td><td>{:.1} s</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        line(commit.short()),
        class(commit.status),
        commit.status.word(),
        commit.duration_ms / 1e3,
        commit.attempts.len(),
        line(&commit.message),
        line(commit.why().filter(|_| !commit.success).unwrap_or_default()),
    )
}

fn class(status: Status) -> &'static str {
    match status {
        Status::Passed => "pass",
        Status::Failed | Status::BuildFailed => "fail",
        Status::Skipped => "skipped",
        Status::Error | Status::Interrupted => "error",
    }
}

fn output(commit: &CommitResult) -> String {
    let attempt = |attempted: &Attempted| {
        let runs: String =
            attempted.runs.iter().map(|run| format!(" <a href=\"{0}/report.html\">{0}</a>", line(run))).collect();
        format!(
            "<p>{}, {:.1} s{runs}</p>\n<pre>{}</pre>\n",
            attempted.status.word(),
            attempted.duration_ms / 1e3,
            block(&attempted.output)
        )
    };
    let attempts: String = commit.attempts.iter().map(attempt).collect();
    let open = if commit.success { "" } else { " open" };
    format!(
        "<details{open}><summary>{} {}</summary>\n{attempts}</details>\n",
        line(commit.short()),
        line(&commit.message)
    )
}
