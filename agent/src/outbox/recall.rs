//! Reads what an outbox's file has for an orchestrator that takes the run over: pieces that another one had remembered, and every event,
//! acknowledged or not. Pure but for what it reads from.

use std::collections::BTreeMap;
use std::io::{self, Read};

use meshproof_proto::codec::Codec;
use meshproof_proto::event::Event;
use meshproof_proto::limits::{MEMORY_CALL_BYTES, PIECES_PER_CALL};
use meshproof_proto::memory::{Piece, Recalled, Recollection};

use super::entry::{self, Entry};
use super::records::{Next, Reader};

/// As much from there on as goes into an answer. What is damaged ends the file.
pub(super) fn read(from: impl Read, what: Recollection) -> io::Result<Recalled> {
    let mut page = Page::default();
    let mut pieces = BTreeMap::new();
    let Some(mut reader) = Reader::new(from)? else { return Ok(page.0) };
    while let Next::Record(bytes) = reader.next()? {
        match (entry::decode(&bytes), &what) {
            (Ok(Entry::Event(event)), Recollection::Events(first)) if event.seq >= *first => {
                if !page.takes_event(event) {
                    break;
                }
            }
            (Ok(Entry::Piece { number, piece }), Recollection::Pieces(first)) => {
                // What stood there from this number on does not count any more.
                drop(pieces.split_off(&number));
                if number >= *first {
                    pieces.insert(number, piece);
                }
            }
            (Ok(_), _) => {}
            (Err(_), _) => break,
        }
    }
    for piece in pieces.into_values() {
        if !page.takes_piece(piece) {
            break;
        }
    }
    Ok(page.0)
}

struct Page(Recalled, usize);

impl Default for Page {
    fn default() -> Self {
        Self(Recalled { pieces: Vec::new(), events: Vec::new(), more: false }, 0)
    }
}

impl Page {
    fn takes_event(&mut self, event: Event) -> bool {
        let bytes = Codec::Bincode.encode(&event).map_or(0, |bytes| bytes.len());
        let takes = self.takes(bytes);
        if takes {
            self.0.events.push(event);
        }
        takes
    }

    fn takes_piece(&mut self, piece: Piece) -> bool {
        let takes = self.takes(piece.bytes.len());
        if takes {
            self.0.pieces.push(piece);
        }
        takes
    }

    /// Whether so many bytes more have a place, which the first always has.
    fn takes(&mut self, bytes: usize) -> bool {
        let so_far = self.0.pieces.len() + self.0.events.len();
        let takes = so_far == 0 || (so_far < PIECES_PER_CALL && self.1 + bytes <= MEMORY_CALL_BYTES);
        self.1 += bytes;
        self.0.more = !takes;
        takes
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::event::Fact;
    use meshproof_proto::id::{PeerId, RunId, Term};

    use super::*;
    use crate::outbox::Store;

    fn run() -> RunId {
        RunId("r".to_owned())
    }

    fn piece(number: u64, term: u64, bytes: usize) -> Entry {
        Entry::Piece { number, piece: Piece { term: Term(term), bytes: vec![0; bytes] } }
    }

    fn event(seq: u64) -> Entry {
        Entry::Event(Event { run: run(), seq, at_ms: 0, fact: Fact::Gap { lost: seq } })
    }

    #[test]
    fn what_is_recalled_comes_in_pages_and_what_was_replaced_does_not_come() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::in_directory(folder.path());
        let mut file = store.create(&run(), PeerId([7; 32])).expect("written");
        let half = MEMORY_CALL_BYTES / 2;
        for entry in [piece(1, 1, half), event(1), piece(2, 1, half), piece(3, 1, 1), event(2), piece(4, 1, 9)] {
            file.append(&entry).expect("written");
        }
        file.append(&Entry::Acknowledged(2)).expect("written");
        // Another orchestrator goes on behind the third, and a third one behind the second.
        (4..=5).for_each(|number| file.append(&piece(number, 2, 2)).expect("written"));
        file.append(&piece(3, 3, 3)).expect("written");
        let recall = |what| store.recall(&run(), what).expect("read").expect("it is there");
        let page = recall(Recollection::Pieces(1));
        assert_eq!((page.pieces.len(), page.more), (2, true));
        let page = recall(Recollection::Pieces(3));
        assert_eq!((page.pieces, page.more), (vec![Piece { term: Term(3), bytes: vec![0; 3] }], false));
        let page = recall(Recollection::Events(2));
        assert_eq!((page.events.iter().map(|event| event.seq).collect::<Vec<_>>(), page.more), (vec![2], false));
        assert_eq!(recall(Recollection::Events(1)).events.len(), 2);
        let (_, recovered) = store.open(&run()).expect("read").expect("it is there");
        assert_eq!((recovered.left.memory.term, recovered.left.memory.pieces), (Term(3), 3));
        assert!(store.recall(&RunId("other".to_owned()), Recollection::Pieces(1)).expect("read").is_none());
    }
}
