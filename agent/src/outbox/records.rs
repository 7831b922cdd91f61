//! Records in a file: each behind its length and a check sum of that, before a check sum of all.
//!
//! Check sums are *chained*: each is also over everything before it, so a record counts only in its place. A writer that was killed
//! leaves at most one record that ends early, of which nobody has heard; it is *torn*, and cut off. Whatever else does not fit its check
//! sum is *damaged*: what stood there was told perhaps, and nobody can say what it was.

use std::io::{self, Read};

/// What every file begins with. The number is that of the format.
pub(super) const MAGIC: &[u8; 8] = b"mpoutbx1";

/// The largest record: an event fits a message, and this is beyond.
const RECORD_BYTES: u32 = 1024 * 1024;

/// The length and its check sum.
const HEAD_BYTES: usize = 8;

/// The check sum of everything so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain(u32);

impl Chain {
    /// Of a file that has nothing but its beginning.
    pub(super) fn new() -> Self {
        Self(crc32c::crc32c(MAGIC))
    }

    fn with(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    fn is(self, sum: [u8; 4]) -> bool {
        self.0.to_le_bytes() == sum
    }

    /// Adds the record to the bytes that go into the file, and gives the chain behind it.
    ///
    /// # Errors
    /// It is larger than any record.
    pub(super) fn put(self, payload: &[u8], into: &mut Vec<u8>) -> io::Result<Self> {
        let length = u32::try_from(payload.len()).ok().filter(|length| (1..=RECORD_BYTES).contains(length));
        let length = length.ok_or_else(|| io::Error::other(format!("a record of {} bytes", payload.len())))?;
        let head = self.with(&length.to_le_bytes());
        let whole = head.with(payload);
        into.extend(length.to_le_bytes());
        into.extend(head.0.to_le_bytes());
        into.extend(payload);
        into.extend(whole.0.to_le_bytes());
        Ok(whole)
    }
}

/// What comes behind the last good record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    Clean,
    /// A record that ends early.
    Torn,
    /// Bytes that were records, or never.
    Damaged,
}

/// Reads records until they end.
#[derive(Debug)]
pub(super) struct Reader<R> {
    from: R,
    chain: Chain,
    good_bytes: u64,
}

/// A record, or what comes instead of the next one.
pub(super) enum Next {
    Record(Vec<u8>),
    End(Tail),
}

impl<R: Read> Reader<R> {
    /// `None`: it does not begin as such a file does.
    pub(super) fn new(mut from: R) -> io::Result<Option<Self>> {
        let mut begin = [0; MAGIC.len()];
        let is_ours = fill(&mut from, &mut begin)? == MAGIC.len() && begin == *MAGIC;
        Ok(is_ours.then(|| Self { from, chain: Chain::new(), good_bytes: MAGIC.len() as u64 }))
    }

    pub(super) fn next(&mut self) -> io::Result<Next> {
        let mut head = [0; HEAD_BYTES];
        match fill(&mut self.from, &mut head)? {
            0 => return Ok(Next::End(Tail::Clean)),
            HEAD_BYTES => {}
            _ => return Ok(Next::End(Tail::Torn)),
        }
        let [a, b, c, d, sum @ ..] = head;
        let (length, chain) = (u32::from_le_bytes([a, b, c, d]), self.chain.with(&[a, b, c, d]));
        if !chain.is(sum) || !(1..=RECORD_BYTES).contains(&length) {
            return Ok(Next::End(Tail::Damaged));
        }
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut rest = vec![0; length + 4];
        if fill(&mut self.from, &mut rest)? < rest.len() {
            return Ok(Next::End(Tail::Torn));
        }
        let sum: [u8; 4] = std::array::from_fn(|at| rest[length + at]);
        rest.truncate(length);
        let chain = chain.with(&rest);
        if !chain.is(sum) {
            return Ok(Next::End(Tail::Damaged));
        }
        self.chain = chain;
        self.good_bytes += (HEAD_BYTES + length + 4) as u64;
        Ok(Next::Record(rest))
    }

    /// Where the good records end, and the chain there.
    pub(super) fn end(&self) -> (u64, Chain) {
        (self.good_bytes, self.chain)
    }
}

/// Reads until the buffer is full or nothing more comes.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(payloads: &[Vec<u8>]) -> Vec<u8> {
        let (mut chain, mut bytes) = (Chain::new(), MAGIC.to_vec());
        for payload in payloads {
            chain = chain.put(payload, &mut bytes).expect("small");
        }
        bytes
    }

    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Tail) {
        let Some(mut reader) = Reader::new(bytes).expect("from memory") else { return (Vec::new(), Tail::Damaged) };
        let mut payloads = Vec::new();
        loop {
            match reader.next().expect("from memory") {
                Next::Record(payload) => payloads.push(payload),
                Next::End(tail) => return (payloads, tail),
            }
        }
    }

    /// Where each record ends.
    fn ends(payloads: &[Vec<u8>]) -> Vec<usize> {
        let mut end = MAGIC.len();
        payloads
            .iter()
            .map(|payload| {
                end += HEAD_BYTES + payload.len() + 4;
                end
            })
            .collect()
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..8)
    }

    proptest! {
        #[test]
        fn a_file_that_was_cut_anywhere_gives_every_record_that_is_whole_and_calls_the_rest_torn(payloads in payloads()) {
            let (bytes, ends) = (written(&payloads), ends(&payloads));
            for cut in MAGIC.len()..=bytes.len() {
                let whole = ends.iter().filter(|end| **end <= cut).count();
                let is_at_an_end = cut == MAGIC.len() || ends.contains(&cut);
                let tail = if is_at_an_end { Tail::Clean } else { Tail::Torn };
                prop_assert_eq!(read(&bytes[..cut]), (payloads[..whole].to_vec(), tail));
            }
        }

        #[test]
        fn whichever_byte_is_changed_no_record_from_there_on_counts_and_it_is_never_taken_for_torn(
            payloads in payloads(),
            change in 1..=u8::MAX,
        ) {
            let (bytes, ends) = (written(&payloads), ends(&payloads));
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                let whole = if at < MAGIC.len() { 0 } else { ends.iter().filter(|end| **end <= at).count() };
                prop_assert_eq!(read(&changed), (payloads[..whole].to_vec(), Tail::Damaged));
            }
        }

        #[test]
        fn a_record_counts_only_in_its_place(payloads in payloads(), one in any::<prop::sample::Index>()) {
            let (bytes, ends) = (written(&payloads), ends(&payloads));
            let one = one.index(payloads.len());
            let begin = if one == 0 { MAGIC.len() } else { ends[one - 1] };
            // the same record once more
            let twice = [&bytes[..ends[one]], &bytes[begin..]].concat();
            prop_assert_eq!(read(&twice), (payloads[..=one].to_vec(), Tail::Damaged));
        }
    }
}
