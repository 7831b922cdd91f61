//! The audit log: one line for everything that was refused, with who asked and why not.
//!
//! It goes to the log (target `meshproof::audit`) and, where the agent has a state directory, to `audit.jsonl` in it: one JSON
//! object a line. A caller that is refused without end fills two files of [`AUDIT_BYTES`], no more.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use meshproof_proto::id::{Name, PeerId};
use meshproof_proto::identity::{Identity, Role};
use serde::Serialize;

use crate::limits::AUDIT_BYTES;

/// Where the lines go beside the log.
#[derive(Debug, Default)]
pub struct Audit {
    file: Option<Mutex<Written>>,
}

/// Something that was refused.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    pub(crate) caller: &'a Identity,
    pub(crate) call: &'static str,
    pub(crate) reason: &'a str,
}

#[derive(Debug)]
struct Written {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// One line of the file. Nobody called when a step that was taken is refused on its way.
#[derive(Serialize)]
struct Line<'a> {
    at_unix_s: u64,
    caller: Option<&'a Name>,
    peer: Option<&'a PeerId>,
    role: Option<Role>,
    call: &'static str,
    reason: &'a str,
}

impl Audit {
    /// Keeps the lines in `audit.jsonl` of that directory, too.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn in_directory(directory: &Path) -> io::Result<Self> {
        let written = Written::open(directory.join("audit.jsonl"))?;
        Ok(Self { file: Some(Mutex::new(written)) })
    }

    pub(crate) fn note(&self, &Refused { caller, call, reason }: &Refused<'_>) {
        tracing::warn!(target: "meshproof::audit", caller = %caller.name, role = %caller.role, peer = ?caller.peer, call, reason, "refused");
        let (name, peer, role) = (Some(&caller.name), Some(&caller.peer), Some(caller.role));
        self.write(&Line { at_unix_s: now_unix_s(), caller: name, peer, role, call, reason });
    }

    /// For what an order that was taken came to, and what was then not done after all.
    pub(crate) fn note_own(&self, call: &'static str, reason: &str) {
        tracing::warn!(target: "meshproof::audit", call, reason, "refused");
        self.write(&Line { at_unix_s: now_unix_s(), caller: None, peer: None, role: None, call, reason });
    }

    fn write(&self, line: &Line<'_>) {
        let Some(file) = &self.file else { return };
        let mut text = serde_json::to_string(line).expect("names and texts");
        text.push('\n');
        let written = file.lock().unwrap_or_else(PoisonError::into_inner).append(&text);
        if let Err(error) = written {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Written {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes })
    }

    /// The line before the limit stays in the former file.
    fn append(&mut self, line: &str) -> io::Result<()> {
        if self.bytes + line.len() as u64 > AUDIT_BYTES {
            std::fs::rename(&self.path, self.path.with_extension("1.jsonl"))?;
            *self = Self::open(self.path.clone())?;
        }
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::identity::{Issued, UnixSeconds};

    use super::*;

    #[test]
    fn each_refusal_is_a_line_and_a_flood_of_them_fills_two_files_and_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let caller = Identity {
            peer: PeerId([1; 32]),
            name: "console-1".parse().expect("a name"),
            role: Role::OperatorConsole,
            capabilities: Default::default(),
            issued: Issued { token: PeerId([8; 32]), root: PeerId([9; 32]), not_after: UnixSeconds(0) },
        };
        let audit = Audit::in_directory(folder.path()).expect("a directory");
        let reason = "x".repeat(4_000);
        let note = || audit.note(&Refused { caller: &caller, call: "start", reason: &reason });
        note();
        let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).expect("a file");
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).expect("one JSON line");
        assert_eq!((line["caller"].as_str(), line["call"].as_str()), (Some("console-1"), Some("start")));
        assert_eq!(line["role"], "operator-console");
        for _ in 0..3 * AUDIT_BYTES / 4_000 {
            note();
        }
        let files: Vec<_> = std::fs::read_dir(folder.path()).expect("it is there").flatten().collect();
        assert_eq!(files.len(), 2);
        assert!(files.iter().all(|file| file.metadata().expect("a file").len() <= AUDIT_BYTES));
    }
}
