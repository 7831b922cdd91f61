//! What a service itself said, for failures that are its own: it ended, or it never became ready.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use meshproof_proto::event::Evidence;
use meshproof_proto::id::Name;

use crate::local::LocalEnvironment;

/// Lines of each log that are shown.
const LINES: usize = 20;

/// Read from the end of a log, which is enough for lines of ordinary length.
const BYTES: u64 = 16 * 1024;

/// The last lines that a service printed.
pub(super) fn last_words(environment: &LocalEnvironment, service: &Name) -> Vec<Evidence> {
    let logs = environment.folder().join("logs").join(service.as_str());
    let said = ["stderr", "stdout"].into_iter().filter_map(|log| {
        let text = tail(&logs.join(format!("{log}.log"))).ok()?;
        (!text.is_empty()).then(|| Evidence { title: format!("{log} of {service}"), text })
    });
    said.collect()
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
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
        let tail = tail(file.path()).expect("there");
        assert_eq!(tail.lines().count(), LINES);
        assert!(tail.starts_with("line 99980\n") && tail.ends_with("line 99999"), "{tail}");
    }
}
