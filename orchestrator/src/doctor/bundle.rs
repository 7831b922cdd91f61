//! What whoever mends meshproof has to know, as one document that people can read before they send it.
//!
//! What stands in a journal and in the logs beside it is without the run's secrets already. Of the environment only names are told.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use super::Finding;
use crate::journal::{self, Reader};
use crate::report::{Story, markdown, sanitise};

/// Lines of a journal, the last ones: what went wrong stands there.
const JOURNAL_LINES: usize = 400;

/// The same of each agent's log.
const LOG_LINES: usize = 100;

/// Bytes of a line.
const LINE: usize = 2_000;

/// Variables that change what we do.
const PREFIXES: [&str; 5] = ["MESHPROOF_", "OTEL_", "XDG_", "RUST_", "CI"];

/// The document; `run` is the folder of a run that it is about.
#[must_use]
pub fn bundle(findings: &[Finding], run: Option<&Path>, variables: impl Iterator<Item = String>) -> String {
    let about = crate::coordinator::invoked::here();
    let mut text = format!(
        "# meshproof bug report\n\nRead it before you send it: it holds the plan, its parameters and what services printed, without the run's secrets.\n\n\
        meshproof {}, {}, {} cores, {} MiB of memory\n\n## What this machine can do\n\n",
        about.version,
        about.system,
        about.cores,
        about.memory_bytes / (1024 * 1024)
    );
    for Finding { what, found, .. } in findings {
        let (mark, found) = match found {
            Ok(found) => ("ok", found),
            Err(missing) => ("missing", missing),
        };
        text += &format!("- {what}: {mark}: {}\n", sanitise::line(found));
    }
    let mut names: Vec<String> =
        variables.filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix))).collect();
    names.sort();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    text += &format!("\n## Variables that are set\n\n{}\n", sanitise::line(&names));
    match run {
        Some(folder) => of_run(&mut text, folder),
        None => text += "\n## The run\n\nNo run is kept here.\n",
    }
    text
}

fn of_run(text: &mut String, folder: &Path) {
    let path = folder.join(journal::FILE_NAME);
    let mut story = Story::default();
    let mut damaged = None;
    match Reader::open(&path) {
        Ok(reader) => {
            for record in reader.records() {
                match record {
                    Ok(record) => story.take(record),
                    Err(error) => damaged = Some(error.to_string()),
                }
            }
        }
        Err(error) => damaged = Some(error.to_string()),
    }
    story.finish();
    if let Some(error) = damaged {
        *text += &format!("\nThe journal cannot be read to its end: {}\n", sanitise::line(&error));
    }
    *text += &format!("\n{}\n", markdown(&story));
    if let Some(how) = &story.invocation {
        let arguments = sanitise::line(&how.arguments.join(" "));
        *text += &format!("\n## How it was started\n\n`meshproof run {arguments}` by meshproof {}\n", how.version);
        fenced(text, "yaml", how.plan.lines().map(str::to_owned));
    }
    *text += &format!("\n## The last {JOURNAL_LINES} lines of its journal\n");
    fenced(text, "json", last_lines(&path, JOURNAL_LINES));
    for log in agent_logs(&folder.join("logs")) {
        let shown = log.strip_prefix(folder).unwrap_or(&log).to_string_lossy().into_owned();
        *text += &format!("\n## The last {LOG_LINES} lines of {}\n", sanitise::line(&shown));
        fenced(text, "", last_lines(&log, LOG_LINES));
    }
}

/// A block that nothing inside can end.
fn fenced(text: &mut String, kind: &str, lines: impl IntoIterator<Item = String>) {
    const FENCE: &str = "``````";
    *text += &format!("\n{FENCE}{kind}\n");
    for line in lines {
        *text += &sanitise::line(&line).replace(FENCE, "`````");
        text.push('\n');
    }
    *text += &format!("{FENCE}\n");
}

/// What cannot be read has none.
fn last_lines(path: &Path, most: usize) -> Vec<String> {
    let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
    let mut last = std::collections::VecDeque::new();
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        last.push_back(line.chars().take(LINE).collect());
        if last.len() > most {
            last.pop_front();
        }
    }
    last.into()
}

fn agent_logs(folder: &Path) -> Vec<PathBuf> {
    let services = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut logs: Vec<PathBuf> = services.map(|service| service.path().join("agent.log")).collect();
    logs.retain(|log| log.is_file());
    logs.sort();
    logs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_run_a_report_tells_of_the_machine_and_of_variables_only_the_names() {
        let variables = ["MESHPROOF_RUNS", "HOME", "OTEL_EXPORTER_OTLP_HEADERS"].map(str::to_owned);
        let text = bundle(&[], None, variables.into_iter());
        assert!(text.contains("MESHPROOF_RUNS, OTEL_EXPORTER_OTLP_HEADERS\n"), "{text}");
        assert!(text.contains(env!("CARGO_PKG_VERSION")) && text.contains("No run is kept here"), "{text}");
    }

    #[test]
    fn what_stands_in_a_block_does_not_end_it_and_of_a_long_log_the_end_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        let lines: String = (0..500).map(|line| format!("line {line}\n")).collect();
        std::fs::write(&path, lines + "``````\n# not a title\x1b[2J\n").expect("room");
        let mut text = String::new();
        fenced(&mut text, "", last_lines(&path, 3));
        assert_eq!(text, "\n``````\nline 499\n`````\n# not a title\\u{1b}[2J\n``````\n");
    }
}
