//! What a service itself said, for failures that are its own: it ended, or it never became ready. What it said in the tests before is
//! not of the one that fails.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use meshproof_proto::event::Evidence;
use meshproof_proto::id::Name;
use meshproof_proto::mask::Masker;

use crate::local::LocalEnvironment;

/// Lines of each log that are shown.
const LINES: usize = 20;

/// Read from the end of a log, which is enough for lines of ordinary length.
const BYTES: u64 = 16 * 1024;

const LOGS: [&str; 2] = ["stderr", "stdout"];

/// How long the logs of the services are, in bytes. What is not named had nothing in it.
#[derive(Debug, Default)]
pub(super) struct Lengths(BTreeMap<PathBuf, u64>);

fn path(environment: &LocalEnvironment, service: &Name, log: &str) -> PathBuf {
    environment.folder().join("logs").join(service.as_str()).join(format!("{log}.log"))
}

impl Lengths {
    /// As they are now.
    pub(super) fn of<'n>(environment: &LocalEnvironment, services: impl Iterator<Item = &'n Name>) -> Self {
        let logs = services.flat_map(|service| LOGS.map(|log| path(environment, service, log)));
        Self(logs.filter_map(|log| Some((log.clone(), std::fs::metadata(&log).ok()?.len()))).collect())
    }
}

/// The last lines that a service printed since its logs were so long, without secrets. If it printed none since then, what it printed
/// before may still say why it ended.
pub(super) fn last_words(
    environment: &LocalEnvironment,
    service: &Name,
    since: &Lengths,
    masker: &Masker,
) -> Vec<Evidence> {
    let said = |since: &Lengths, when: &str| {
        let said = LOGS.into_iter().filter_map(|log| {
            let path = path(environment, service, log);
            let text = tail(&path, since.0.get(&path).copied().unwrap_or_default(), masker).ok()?;
            (!text.is_empty()).then(|| Evidence { title: format!("{log} of {service}{when}"), text })
        });
        said.collect::<Vec<_>>()
    };
    let now = said(since, "");
    if now.is_empty() { said(&Lengths::default(), ", before this test") } else { now }
}

/// The last lines of those that begin at `since` or behind it.
fn tail(path: &Path, since: u64, masker: &Masker) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    // A secret that is cut where reading begins ends before what is shown, however it is written.
    let before = masker.reach() as u64;
    let from = length.saturating_sub(BYTES + 2 * before);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(BYTES + 2 * before).read_to_end(&mut bytes)?;
    let mut stream = masker.stream();
    let mut text = stream.push(&bytes);
    text.extend(stream.finish());
    let text = String::from_utf8_lossy(&text);
    let cut = if from == 0 { 0 } else { text.floor_char_boundary(masker.reach()) };
    let lines: Vec<&str> = text[cut..].lines().collect();
    let before = usize::try_from(since.saturating_sub(from)).unwrap_or(usize::MAX).min(bytes.len());
    let wanted = String::from_utf8_lossy(&bytes[before..]).lines().count().min(LINES);
    Ok(lines[lines.len().saturating_sub(wanted)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines_however_long_it_is() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let text: String = (0..100_000).map(|line| format!("line {line}\n")).collect();
        std::fs::write(file.path(), text).expect("room for it");
        let tail = tail(file.path(), 0, &Masker::default()).expect("there");
        assert_eq!(tail.lines().count(), LINES);
        assert!(tail.starts_with("line 99980\n") && tail.ends_with("line 99999"), "{tail}");
    }

    #[test]
    fn the_tail_of_a_log_begins_with_the_test_that_is_going_on() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let before = "of the test before\n".repeat(2_000);
        std::fs::write(file.path(), format!("{before}begun\n\nended\n")).expect("room for it");
        let tail = |since| tail(file.path(), since, &Masker::default()).expect("there");
        assert_eq!(tail(before.len() as u64), "begun\n\nended");
        assert_eq!(tail(before.len() as u64 + 6), "\nended");
        assert_eq!(tail(before.len() as u64 + 13), "");
        assert_eq!(tail(0).lines().count(), LINES);
    }

    #[test]
    fn no_end_of_a_secret_is_shown_wherever_the_tail_begins() {
        let secret = "S3cr3t-value-with-an-end";
        let masker = Masker::new([("key", secret)]).expect("long enough");
        for shift in 0..2 * secret.len() {
            let file = tempfile::NamedTempFile::new().expect("a temporary file");
            std::fs::write(file.path(), secret.repeat(2_000) + &".".repeat(shift)).expect("room for it");
            let tail = tail(file.path(), 0, &masker).expect("there");
            assert!(!tail.contains("-end") && !tail.contains("S3cr"), "{tail}");
        }
    }
}
