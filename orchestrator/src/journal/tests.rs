use meshproof_proto::event::{Event, Fact};
use meshproof_proto::id::{PeerId, RunId};
use proptest::prelude::*;

use super::*;
use crate::record::Happening;

fn said(text: &str) -> Entry {
    Entry::own(1, Happening::Said { text: text.to_owned() })
}

fn event(instance: u8, seq: u64) -> Entry {
    let name = "shop".parse().expect("a name");
    let fact = Fact::Gap { lost: seq };
    Entry::event(&name, PeerId([instance; 32]), Event { run: RunId("r".to_owned()), seq, at_ms: 1, fact })
}

fn journal() -> (tempfile::TempDir, PathBuf, Journal) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(FILE_NAME);
    let journal = Journal::create(&path).expect("the folder is there");
    (dir, path, journal)
}

#[test]
fn what_was_appended_is_in_the_file_at_once_and_numbered() {
    let (_dir, path, mut journal) = journal();
    for text in ["a", "b\nc"] {
        let record = journal.append(said(text)).expect("written").expect("new");
        assert_eq!(read(&path).expect("read").last(), Some(&record));
    }
    let numbers: Vec<u64> = read(&path).expect("read").iter().map(|record| record.n).collect();
    assert_eq!(numbers, [1, 2]);
    journal.sync().expect("synced");
}

#[test]
fn a_line_that_a_crash_cut_off_is_left_out_and_any_other_bad_line_is_named() {
    let (_dir, path, mut journal) = journal();
    journal.append(said("a")).expect("written");
    let whole = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, format!("{whole}{}", &whole[..20])).expect("written");
    assert_eq!(read(&path).expect("read").len(), 1);
    std::fs::write(&path, format!("{whole}nonsense\n")).expect("written");
    assert_eq!(read(&path).expect("read").len(), 1, "nobody acknowledged it");
    std::fs::write(&path, format!("{whole}nonsense\n{whole}")).expect("written");
    assert!(read(&path).expect_err("nonsense").to_string().starts_with("line 2 of the journal"));
    std::fs::write(&path, format!("{whole}{whole}")).expect("written");
    assert!(read(&path).expect_err("not in its place").to_string().starts_with("line 2 of the journal"));
}

#[test]
fn a_journal_that_cannot_be_made_says_where() {
    let error = Journal::create(Path::new("/nowhere/at/all/events.jsonl")).expect_err("no such folder");
    assert!(error.to_string().starts_with("cannot make the journal /nowhere/at/all/events.jsonl"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_event_is_kept_once_whatever_comes_again_and_in_whatever_order(
        sent in proptest::collection::vec((0_u8..3, 1_u64..20), 0..200)
    ) {
        let (_dir, path, mut journal) = journal();
        let mut first = std::collections::BTreeSet::new();
        for (instance, seq) in sent {
            let kept = journal.append(event(instance, seq)).expect("written").is_some();
            prop_assert_eq!(kept, first.insert((instance, seq)));
        }
        prop_assert_eq!(read(&path).expect("read").len(), first.len());
        for instance in 0..3 {
            let through = (1..).take_while(|seq| first.contains(&(instance, *seq))).count() as u64;
            prop_assert_eq!(journal.complete_through(PeerId([instance; 32])), through);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whichever_byte_of_a_journal_is_changed_nothing_is_read_that_was_not_written(
        texts in proptest::collection::vec("[a-z\"\n]{0,9}", 2..6), at in any::<proptest::sample::Index>(), change in 1_u8..=255
    ) {
        let (_dir, path, mut journal) = journal();
        let written: Vec<Record> =
            texts.iter().map(|text| journal.append(said(text)).expect("written").expect("new")).collect();
        let mut bytes = std::fs::read(&path).expect("read");
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count();
        std::fs::write(&path, &bytes).expect("written");
        match read(&path) {
            // the last one is cut off, and the one before it when nothing divides them any more
            Ok(records) => {
                prop_assert!(records.len() < written.len() && records.len() + 2 >= written.len(), "{records:?}");
                prop_assert_eq!(&records, &written[..records.len()]);
            }
            Err(error) => {
                let named = match &error {
                    JournalError::Damaged { line, .. } | JournalError::Line { line, .. } => *line,
                    other => return Err(TestCaseError::fail(other.to_string())),
                };
                let named = (line + 1..=line + 2).contains(&named);
                prop_assert!(named, "{}: {}", line, error);
            }
        }
    }
}

#[test]
fn a_journal_of_before_there_were_check_sums_is_read() {
    let (_dir, path, mut journal) = journal();
    let written = ["a", "b"].map(|text| journal.append(said(text)).expect("written").expect("new"));
    let plain = written.iter().map(|record| serde_json::to_string(record).expect("it is JSON") + "\n");
    std::fs::write(&path, plain.collect::<String>()).expect("written");
    assert_eq!(read(&path).expect("read"), written);
}

#[test]
fn two_runs_cannot_write_one_journal_and_the_second_is_told_what_to_do() {
    let (_dir, path, mut first) = journal();
    first.append(said("a")).expect("written");
    let refused = Journal::create(&path).expect_err("the first still writes it").to_string();
    assert!(refused.contains("another run writes") && refused.contains("--out"), "{refused}");
    assert_eq!(read(&path).expect("untouched").len(), 1);
    drop(first);
    Journal::create(&path).expect("the first is gone");
    assert_eq!(read(&path).expect("emptied").len(), 0);
}

#[tokio::test]
async fn lines_reach_the_disk_by_themselves_and_that_is_told() {
    let (_dir, _path, mut journal) = journal();
    let mut on_disk = journal.on_disk();
    for text in ["a", "b", "c"] {
        journal.append(said(text)).expect("written");
    }
    let told = on_disk.wait_for(|lines| *lines == journal.lines());
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("they do").expect("the journal is there");
    assert!(!journal.has_failed());
}
