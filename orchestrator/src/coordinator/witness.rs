//! What a service itself said, for failures that are its own: it ended, or it never became ready.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use meshproof_proto::event::Evidence;
use meshproof_proto::id::Name;
use meshproof_proto::mask::Masker;

use crate::local::LocalEnvironment;

/// Lines of each log that are shown.
const LINES: usize = 20;

/// Read from the end of a log, which is enough for lines of ordinary length.
const BYTES: u64 = 16 * 1024;

/// The last lines that a service printed, without secrets.
pub(super) fn last_words(environment: &LocalEnvironment, service: &Name, masker: &Masker) -> Vec<Evidence> {
    let logs = environment.folder().join("logs").join(service.as_str());
    let said = ["stderr", "stdout"].into_iter().filter_map(|log| {
        let text = tail(&logs.join(format!("{log}.log")), masker).ok()?;
        (!text.is_empty()).then(|| Evidence { title: format!("{log} of {service}"), text })
    });
    said.collect()
}

fn tail(path: &Path, masker: &Masker) -> std::io::Result<String> {
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
    Ok(lines[lines.len().saturating_sub(LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines_however_long_it_is() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let text: String = (0..100_000).map(|line| format!("line {line}\n")).collect();
        std::fs::write(file.path(), text).expect("room for it");
        let tail = tail(file.path(), &Masker::default()).expect("there");
        assert_eq!(tail.lines().count(), LINES);
        assert!(tail.starts_with("line 99980\n") && tail.ends_with("line 99999"), "{tail}");
    }

    #[test]
    fn no_end_of_a_secret_is_shown_wherever_the_tail_begins() {
        let secret = "S3cr3t-value-with-an-end";
        let masker = Masker::new([("key", secret)]).expect("long enough");
        for shift in 0..2 * secret.len() {
            let file = tempfile::NamedTempFile::new().expect("a temporary file");
            std::fs::write(file.path(), secret.repeat(2_000) + &".".repeat(shift)).expect("room for it");
            let tail = tail(file.path(), &masker).expect("there");
            assert!(!tail.contains("-end") && !tail.contains("S3cr"), "{tail}");
        }
    }
}
