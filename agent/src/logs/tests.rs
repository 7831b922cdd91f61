use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use super::*;
use crate::permits::{Permits, Settings};

/// Far beyond a test's life: what comes was not found by polling.
const NEVER: Duration = Duration::from_secs(3600);

struct Place {
    _dir: tempfile::TempDir,
    file: PathBuf,
    store: LogStore,
}

fn place(poll: Duration) -> Place {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("audit.log");
    let files = BTreeMap::from([("audit".to_owned(), file.display().to_string())]);
    let store = LogStore::with_poll(&files, &LogFiles::default(), poll);
    Place { _dir: dir, file, store }
}

fn append(file: &PathBuf, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).create(true).open(file).expect("opens");
    file.write_all(bytes).expect("writes");
}

impl Place {
    fn texts(&self) -> Vec<String> {
        let (mut mark, mut texts) = (Mark::default(), Vec::new());
        loop {
            let since = self.store.lines_since("audit", &mark).expect("the log");
            texts.extend(since.lines.iter().map(|line| line.text.to_string()));
            if !since.more {
                return texts;
            }
            mark = since.next;
        }
    }

    async fn wait_for(&self, texts: &[&str]) {
        let mut changes = self.store.changes();
        let seen = async {
            while self.texts() != texts {
                changes.changed().await.expect("the reader lives");
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(10), seen).await;
        assert!(seen.is_ok(), "waited for {texts:?}, have {:?}", self.texts());
    }
}

#[tokio::test]
async fn a_line_wakes_who_waits_for_it_without_polling_also_in_a_file_that_comes_later() {
    let place = place(NEVER);
    place.store.read_to_end().await;
    append(&place.file, b"first\n");
    place.wait_for(&["first"]).await;
    append(&place.file, b"sec");
    append(&place.file, b"ond\n");
    place.wait_for(&["first", "second"]).await;
}

#[tokio::test]
async fn polling_finds_what_nothing_announced() {
    let dir = tempfile::tempdir().expect("a folder");
    let real = dir.path().join("elsewhere/real.log");
    fs::create_dir(real.parent().expect("a folder")).expect("creates");
    fs::write(&real, "first\n").expect("writes");
    let file = dir.path().join("link.log");
    std::os::unix::fs::symlink(&real, &file).expect("links");
    let files = BTreeMap::from([("audit".to_owned(), file.display().to_string())]);
    let place =
        Place { store: LogStore::with_poll(&files, &LogFiles::default(), Duration::from_millis(5)), _dir: dir, file };
    place.wait_for(&["first"]).await;
    append(&real, b"second\n");
    place.wait_for(&["first", "second"]).await;
}

#[tokio::test]
async fn reading_to_the_end_sees_everything_that_was_written_before() {
    let place = place(NEVER);
    append(&place.file, "line\n".repeat(50_000).as_bytes());
    place.store.read_to_end().await;
    assert_eq!(place.texts().len(), 50_000);
}

#[tokio::test]
async fn truncation_and_rotation_lose_no_line() {
    let place = place(NEVER);
    append(&place.file, b"one\nand a rest");
    place.store.read_to_end().await;
    fs::write(&place.file, "two\n").expect("truncates");
    place.wait_for(&["one", "and a rest", "two"]).await;
    append(&place.file, b"three\n");
    fs::rename(&place.file, place.file.with_extension("1")).expect("rotates");
    append(&place.file, b"four\n");
    place.wait_for(&["one", "and a rest", "two", "three", "four"]).await;
}

#[tokio::test]
async fn odd_bytes_are_replaced_and_endless_lines_are_cut() {
    let place = place(NEVER);
    append(&place.file, b"a\xffb\r\n");
    append(&place.file, &vec![b'x'; limits::LOG_LINE_BYTES * 9]);
    append(&place.file, b"\nlast\n");
    place.store.read_to_end().await;
    let texts = place.texts();
    assert_eq!((texts[0].as_str(), texts[1].len(), texts[2].as_str()), ("a\u{fffd}b", limits::LOG_LINE_BYTES, "last"));
}

#[tokio::test]
async fn closing_ends_the_reader() {
    let Place { store, .. } = place(NEVER);
    let mut changes = store.changes();
    store.close().await;
    assert!(changes.changed().await.is_err());
}

#[tokio::test]
async fn a_log_that_becomes_a_link_out_of_its_folder_is_not_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let (inside, secret) = (dir.path().join("inside"), dir.path().join("token"));
    fs::create_dir(&inside).expect("a folder");
    fs::write(&secret, "s3cret\n").expect("a file");
    let settings = Settings { paths: vec![inside.clone()], ..Settings::default() };
    let file = inside.join("audit.log");
    let files = BTreeMap::from([("audit".to_owned(), file.display().to_string())]);
    let store = LogStore::with_poll(&files, &Permits::of(settings).logs, NEVER);
    let place = Place { _dir: dir, file, store };
    append(&place.file, b"mine\n");
    place.wait_for(&["mine"]).await;
    fs::remove_file(&place.file).expect("ours");
    std::os::unix::fs::symlink(&secret, &place.file).expect("a link");
    place.store.read_to_end().await;
    assert_eq!(place.texts(), ["mine"]);
    fs::remove_file(&place.file).expect("ours");
    append(&place.file, b"again\n");
    place.wait_for(&["mine", "again"]).await;
}
