//! The sessions that were: a folder each among the kept runs, removed by the same rules, whole. Their sizes are counted apart from those
//! of runs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::past::{Past, began_ms};
use super::request::Folder;
use super::workspace::expire;
use crate::history::{Keep, Kept, SESSIONS, size};
use crate::report::summary::counted;

/// Locked while a session goes on.
const LOCK: &str = "goes-on";

/// What a session leaves in its folder, and the next one there removes.
const OF_A_SESSION: [&str; 2] = ["runs", "workspaces"];

/// A session's folder, and that it is in use.
#[derive(Debug)]
pub struct Begun {
    pub folder: Folder,
    _lock: File,
}

/// Makes the folder of a session: this one, or a new one among the kept.
///
/// # Errors
/// It cannot be made, or another session uses it.
pub fn begin(out: Option<&Path>, kept: &Kept, name: &str) -> io::Result<Begun> {
    let sessions = kept.folder().join(SESSIONS);
    let path = match out {
        Some(out) => std::path::absolute(out)?,
        None => sessions.join(name),
    };
    fs::create_dir_all(&path)?;
    if !path.join(LOCK).exists()
        && let Some(theirs) = OF_A_SESSION.iter().find(|folder| path.join(folder).exists())
    {
        let why = "is there and is no session's; name another folder with --out DIR";
        return Err(io::Error::other(format!("{} {why}", path.join(theirs).display())));
    }
    let lock = File::create(path.join(LOCK))?;
    let in_use = |_| {
        io::Error::other(format!("another session goes on in {}; give each a folder with --out DIR", path.display()))
    };
    lock.try_lock().map_err(in_use)?;
    // What an earlier session left in a folder of the user's is not this one's.
    for of_before in OF_A_SESSION {
        crate::keeper::folder::remove(&path.join(of_before))?;
    }
    Ok(Begun { folder: Folder { path, copies: sessions.join("repositories") }, _lock: lock })
}

/// Removes workspaces whose time is over, and sessions that are too old, too many, or too large together. Gives what was removed.
///
/// # Errors
/// A folder cannot be listed, or not be removed.
pub fn prune(kept: &Kept, keep: &Keep, now_ms: u64) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    let oldest_ms = now_ms.saturating_sub(u64::try_from(keep.age.as_millis()).unwrap_or(u64::MAX));
    let mut bytes = 0_u64;
    for (number, (began_ms, folder)) in ended(kept)?.into_iter().enumerate() {
        let gone = expire(&folder.join("workspaces"), now_ms)?;
        if gone > 0 {
            removed.push(format!("{} of {}", counted(gone, "workspace"), folder.display()));
        }
        let together = bytes.saturating_add(size(&folder));
        // The newest is what somebody has just made.
        if number > 0 && (number >= keep.runs || began_ms < oldest_ms || together > keep.bytes) {
            expire(&folder.join("workspaces"), u64::MAX)?;
            fs::remove_dir_all(&folder)?;
            removed.push(folder.display().to_string());
        } else {
            bytes = together;
        }
    }
    Ok(removed)
}

/// Removes every workspace that is kept, and gives how many.
///
/// # Errors
/// A folder cannot be listed, or not be removed.
pub fn clean(kept: &Kept) -> io::Result<usize> {
    let mut removed = 0;
    for (_, folder) in ended(kept)? {
        removed += expire(&folder.join("workspaces"), u64::MAX)?;
    }
    Ok(removed)
}

/// All of them, the newest first.
///
/// # Errors
/// The folder cannot be listed.
pub fn list(kept: &Kept) -> io::Result<Vec<Past>> {
    let read = |folder: PathBuf| Past::read((&folder, &folder.join(LOCK)));
    let mut sessions: Vec<Past> = folders(kept)?.into_iter().filter_map(read).collect();
    sessions.sort_by(|a, b| b.began_ms.cmp(&a.began_ms).then_with(|| a.session.cmp(&b.session)));
    Ok(sessions)
}

/// Sessions that nobody is in, and when each began; the newest first.
fn ended(kept: &Kept) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut ended = Vec::new();
    for folder in folders(kept)? {
        let Ok(lock) = File::open(folder.join(LOCK)) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        ended.push((began_ms(&lock)?, folder));
    }
    ended.sort_by(|a, b| b.cmp(a));
    Ok(ended)
}

/// What is in the folder of the sessions.
fn folders(kept: &Kept) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(kept.folder().join(SESSIONS)) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_a_session_left_is_removed_from_a_folder_of_the_users() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let kept = Kept::in_folder(Some(place.path())).expect("named");
        let out = place.path().join("theirs");
        fs::create_dir_all(out.join("runs/precious")).expect("made");
        let refused = begin(Some(&out), &kept, "c-1").expect_err("it is no session's").to_string();
        assert!(refused.contains("is no session's; name another folder"), "{refused}");
        assert!(out.join("runs/precious").exists());
        fs::rename(out.join("runs"), out.join("mine")).expect("moved");
        drop(begin(Some(&out), &kept, "c-1").expect("it is one's now"));
        fs::create_dir_all(out.join("runs/of-a-session")).expect("made");
        drop(begin(Some(&out), &kept, "c-1").expect("it is one's"));
        assert!(out.join("mine/precious").exists() && !out.join("runs").exists());
    }

    #[test]
    fn sessions_go_when_they_are_too_many_and_never_while_they_go_on() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let kept = Kept::in_folder(Some(place.path())).expect("named");
        let first = begin(None, &kept, "c-1").expect("made");
        let again = begin(None, &kept, "c-1").expect_err("in use").to_string();
        assert!(again.contains("another session goes on"), "{again}");
        for name in ["c-2", "c-3"] {
            let begun = begin(None, &kept, name).expect("made");
            fs::create_dir_all(begun.folder.workspaces().join("w/tree")).expect("made");
            fs::write(begun.folder.workspaces().join("w/kept-until"), "18446744073709551615").expect("written");
        }
        let keep = Keep { runs: 1, age: Duration::from_secs(3600), ..Keep::default() };
        assert_eq!(prune(&kept, &keep, crate::record::now_ms()).expect("removed").len(), 1);
        assert!(first.folder.path.exists(), "it goes on");
        assert_eq!(clean(&kept).expect("removed"), 1);
        drop(first);
        assert_eq!(prune(&kept, &keep, crate::record::now_ms()).expect("removed").len(), 1);
    }

    #[test]
    fn sessions_that_are_too_large_together_go_and_the_newest_stays() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let kept = Kept::in_folder(Some(place.path())).expect("named");
        for (name, bytes) in [("c-1", 400), ("c-2", 4_000), ("c-3", 6_000)] {
            let begun = begin(None, &kept, name).expect("made");
            fs::write(begun.folder.path.join("report.html"), vec![b'x'; bytes]).expect("written");
            // the order in which they began is that of their locks
            let at = std::time::UNIX_EPOCH + Duration::from_secs(bytes as u64);
            File::options()
                .write(true)
                .open(begun.folder.path.join(LOCK))
                .and_then(|lock| lock.set_modified(at))
                .expect("ours");
        }
        let keep = Keep { age: Duration::MAX, bytes: 9_000, ..Keep::default() };
        let removed = prune(&kept, &keep, crate::record::now_ms()).expect("removed");
        assert!(matches!(&removed[..], [only] if only.ends_with("c-2")), "what is smaller still has room: {removed:?}");
        let removed = prune(&kept, &Keep { bytes: 0, ..keep }, crate::record::now_ms()).expect("removed");
        assert!(matches!(&removed[..], [only] if only.ends_with("c-1")), "the newest stays: {removed:?}");
    }
}
