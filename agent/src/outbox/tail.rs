//! Reads the events of an outbox's file while it is written, for whoever keeps copies of them.

use std::fs::File;
use std::io::{self, BufReader};

use meshproof_proto::codec::Codec;
use meshproof_proto::event::Event;
use meshproof_proto::id::RunId;
use meshproof_proto::limits::{EVENTS_PER_BATCH, MEMORY_CALL_BYTES};

use super::Store;
use super::entry::{self, Entry};
use super::records::{Next, Reader, Tail as End};

/// Where a reader stands in a file.
#[derive(Debug)]
pub struct Tail {
    store: Store,
    run: RunId,
    reader: Option<Reader<BufReader<File>>>,
    /// The last event that was given.
    given: u64,
    /// One that had no place in the message before.
    waiting: Option<Event>,
}

impl Tail {
    pub fn of(store: Store, run: RunId) -> Self {
        Self { store, run, reader: None, given: 0, waiting: None }
    }

    /// The events behind this number, as many as go into a message. None: no more are written.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn after(&mut self, number: u64) -> io::Result<Vec<Event>> {
        if number != self.given {
            (self.reader, self.waiting) = (None, None);
        }
        let reader = match self.reader.take() {
            Some(reader) => Some(reader),
            None => self.store.read(&self.run)?.map(BufReader::new).map(Reader::new).transpose()?.flatten(),
        };
        let Some(mut reader) = reader else { return Ok(Vec::new()) };
        let (mut events, mut bytes) = (Vec::new(), 0);
        while events.len() < EVENTS_PER_BATCH {
            let event = match self.waiting.take() {
                Some(event) => event,
                None => match reader.next()? {
                    Next::Record(record) => match entry::decode(&record) {
                        Ok(Entry::Event(event)) if event.seq > number => event,
                        Ok(_) | Err(_) => continue,
                    },
                    Next::End(End::Clean) => break,
                    // What is just being written is read from the beginning the next time.
                    Next::End(End::Torn | End::Damaged) => {
                        self.given = events.last().map_or(number, |event: &Event| event.seq);
                        return Ok(events);
                    }
                },
            };
            bytes += Codec::Bincode.encode(&event).map_or(0, |bytes| bytes.len());
            if bytes > MEMORY_CALL_BYTES && !events.is_empty() {
                self.waiting = Some(event);
                break;
            }
            events.push(event);
        }
        self.given = events.last().map_or(number, |event| event.seq);
        self.reader = Some(reader);
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::event::Fact;
    use meshproof_proto::id::PeerId;

    use super::*;

    fn event(seq: u64) -> Entry {
        let fact = Fact::Gap { lost: seq };
        Entry::Event(Event { run: RunId("r".to_owned()), seq, at_ms: 0, fact })
    }

    fn numbers(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn whoever_reads_along_gets_each_event_once_it_is_written_and_all_again_from_where_they_want() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, run) = (Store::in_directory(folder.path()), RunId("r".to_owned()));
        let mut tail = Tail::of(store.clone(), run.clone());
        assert!(tail.after(0).expect("read").is_empty(), "there is no file yet");
        let mut file = store.create(&run, PeerId([7; 32])).expect("written");
        (1..=2).for_each(|seq| file.append(&event(seq)).expect("written"));
        assert_eq!(numbers(&tail.after(0).expect("read")), [1, 2]);
        assert!(tail.after(2).expect("read").is_empty());
        file.append(&Entry::Acknowledged(1)).expect("written");
        (3..=200).for_each(|seq| file.append(&event(seq)).expect("written"));
        let mut all = Vec::new();
        while let Some(last) = tail.after(2 + all.len() as u64).expect("read").last() {
            all.extend(3 + all.len() as u64..=last.seq);
        }
        assert_eq!(all, (3..=200).collect::<Vec<u64>>());
        assert_eq!(numbers(&tail.after(198).expect("read")), [199, 200], "who lost some asks for them again");
    }
}
