use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;

use meshproof_proto::blob::{Blob, Summing};
use meshproof_proto::limits::BLOB_CHUNK_BYTES;
use tokio::io::duplex;

use super::*;

fn content() -> Vec<u8> {
    (0..BLOB_CHUNK_BYTES * 5 + 100).map(|at| (at % 241) as u8).collect()
}

fn blob() -> Blob {
    let mut summing = Summing::default();
    summing.add(&content());
    summing.finish()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a folder for such files");
    file.write_all(bytes).expect("there is room");
    file
}

fn text(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().expect("a file");
    file.read_to_end(&mut bytes).expect("it can be read");
    bytes
}

async fn between(from: &HeldBlob, to: &HeldBlob, patience: Patience) -> Fetched {
    let (ours, theirs) = duplex(64 * 1024);
    let (served, fetched) = tokio::join!(serve(theirs, from), fetch(ours, to, patience));
    served.expect("whoever asked said that it was all");
    fetched
}

#[tokio::test]
async fn a_damaged_chunk_is_refused_and_one_from_elsewhere_taken() {
    let damaged = file(&content());
    damaged.write_all_at(b"x", BLOB_CHUNK_BYTES as u64 + 7).expect("there is room");
    let target = file(b"");
    let (bad, good) = (HeldBlob::whole(blob(), damaged), HeldBlob::whole(blob(), file(&content())));
    let held = HeldBlob::open(blob(), target.try_clone().expect("a file")).expect("opens");
    let fetched = between(&bad, &held, Patience::None).await;
    assert_eq!((fetched.damaged, held.missing(), held.is_whole()), (1, vec![1], false));
    assert_eq!(fetched.bytes, content().len() as u64 - BLOB_CHUNK_BYTES as u64);
    let fetched = between(&good, &held, Patience::None).await;
    assert_eq!((fetched.damaged, fetched.bytes, held.is_whole()), (0, BLOB_CHUNK_BYTES as u64, true));
    assert!(text(target) == content());
}

#[tokio::test]
async fn what_is_there_of_it_is_found_again_and_only_the_rest_is_asked_for() {
    let target = file(&content()[..BLOB_CHUNK_BYTES * 2]);
    target.write_all_at(b"x", 3).expect("there is room");
    let held = HeldBlob::open(blob(), target).expect("opens");
    assert_eq!(held.missing(), [0, 2, 3, 4, 5]);
    let fetched = between(&HeldBlob::whole(blob(), file(&content())), &held, Patience::None).await;
    assert_eq!((fetched.bytes, held.is_whole()), (content().len() as u64 - BLOB_CHUNK_BYTES as u64, true));
}

#[tokio::test]
async fn chunks_pass_on_while_they_come_and_one_that_is_not_there_is_said_to_be_missing() {
    let first = HeldBlob::whole(blob(), file(&content()));
    let (second, third) = (file(b""), file(b""));
    let second = HeldBlob::open(blob(), second).expect("opens");
    let third = HeldBlob::open(blob(), third).expect("opens");
    let fetched = between(&second, &third, Patience::None).await;
    assert_eq!((fetched.bytes, fetched.damaged, third.missing().len()), (0, 0, 6), "it has nothing yet");
    assert!(fetched.error.is_none(), "{fetched:?}");
    let (passed, came) =
        tokio::join!(between(&second, &third, Patience::UntilItComes), between(&first, &second, Patience::None));
    assert_eq!((passed.bytes, came.bytes), (content().len() as u64, content().len() as u64));
    assert!(second.is_whole() && third.is_whole());
}

#[tokio::test(start_paused = true)]
async fn whoever_breaks_off_or_falls_silent_leaves_what_it_gave() {
    let held = HeldBlob::open(blob(), file(b"")).expect("opens");
    let (ours, mut theirs) = duplex(2 * BLOB_CHUNK_BYTES);
    let breaks_off = async {
        theirs.write_all(&[0, 0, 0, 0, 0, 0, 4, 0]).await.expect("open");
        theirs.write_all(&content()[..BLOB_CHUNK_BYTES]).await.expect("open");
        drop(theirs);
    };
    let (fetched, ()) = tokio::join!(fetch(ours, &held, Patience::None), breaks_off);
    assert!(fetched.error.is_some() && fetched.bytes == BLOB_CHUNK_BYTES as u64, "{fetched:?}");
    let (ours, _theirs) = duplex(1024);
    let fetched = fetch(ours, &held, Patience::UntilItComes).await;
    assert_eq!(fetched.error.map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
    assert_eq!(held.bytes_here(), BLOB_CHUNK_BYTES as u64);
}

#[tokio::test]
async fn what_is_no_answer_ends_it() {
    let held = HeldBlob::open(blob(), file(b"")).expect("opens");
    for answer in [[9, 0, 0, 0, 1, 0, 0, 0, 7], [0, 0, 0, 0, 1, 0, 4, 0, 7]] {
        let (ours, mut theirs) = duplex(1024);
        theirs.write_all(&answer).await.expect("open");
        let fetched = fetch(ours, &held, Patience::None).await;
        assert_eq!(fetched.error.map(|error| error.kind()), Some(io::ErrorKind::InvalidData), "{answer:?}");
    }
}
