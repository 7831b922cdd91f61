//! Takes secrets out of what people and files get to see.
//!
//! A secret is looked for as whoever wants it would: in the text as it is, and in what the text decodes to, a few layers
//! deep: JSON and source escapes, percent-encoding, hex, base64 at every offset, wrapped or not. So it does not matter in
//! which of the many spellings of one encoding a program wrote it. What is found gives way to `***name***`.
//!
//! It refuses secrets that are too short: they would be found in everything. It does not find what was compressed, hashed,
//! encrypted, reversed or spread over other text.

mod stream;
mod views;

pub use stream::MaskStream;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use aho_corasick::AhoCorasick;

use crate::limits::{
    MASK_CUT_BYTES, MASK_CUT_ESCAPE_BYTES, MASK_EXPANSION, MASK_LAYERS, MASKED_LINE_BYTES, SECRET_LEAST_BYTES,
    SECRET_MOST_BYTES, SECRETS,
};
use views::{Decoder, View};

/// Finds secrets and puts their names in their place. Its `Debug` form tells names only.
#[derive(Clone, Default)]
pub struct Masker {
    names: Vec<String>,
    /// What is looked for, and whose it is.
    needles: Option<AhoCorasick>,
    texts: Vec<Vec<u8>>,
    owners: Vec<usize>,
    decoder: Decoder,
    longest: usize,
}

/// A secret that cannot be masked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    #[error(
        "the secret `{name}` has {bytes} bytes; one with fewer than {SECRET_LEAST_BYTES} would be found in everything \
         and cannot be masked"
    )]
    TooShort { name: String, bytes: usize },
    #[error("the secret `{name}` has {bytes} bytes; {SECRET_MOST_BYTES} are masked at most")]
    TooLong { name: String, bytes: usize },
    #[error("{0} secrets were given; {SECRETS} are masked at most")]
    TooMany(usize),
    #[error("the secrets cannot be searched for: {0}")]
    Search(String),
}

/// A place in a text that gives way to a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    at: Range<usize>,
    secret: usize,
}

impl Masker {
    /// Masks these secrets, each a name and a value.
    pub fn new<'s>(secrets: impl IntoIterator<Item = (&'s str, &'s str)>) -> Result<Self, MaskError> {
        let mut names: Vec<String> = Vec::new();
        let mut needles: Vec<Vec<u8>> = Vec::new();
        let mut owners = Vec::new();
        for (name, value) in secrets {
            check(name, value)?;
            for needle in parts(value) {
                for written in spellings(needle) {
                    needles.push(written);
                    owners.push(names.len());
                }
            }
            names.push(name.to_owned());
        }
        if names.len() > SECRETS {
            return Err(MaskError::TooMany(names.len()));
        }
        let shortest = needles.iter().map(|needle| needle.len()).min().unwrap_or_default();
        let longest = needles.iter().map(|needle| needle.len()).max().unwrap_or_default();
        let decoder = Decoder { shortest, plus_is_space: needles.iter().any(|needle| needle.contains(&b' ')) };
        let search = (!needles.is_empty()).then(|| AhoCorasick::new(&needles)).transpose();
        let search = search.map_err(|error| MaskError::Search(error.to_string()))?;
        Ok(Self { names, needles: search, texts: needles, owners, decoder, longest })
    }

    /// The text without secrets.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.text_without(text, &self.find(text.as_bytes()))
    }

    /// A text that may go on behind its end: what could be the beginning of a secret there is masked too.
    pub fn mask_cut<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut found = self.find(text.as_bytes());
        // What begins before this is whole.
        let from = text.len().saturating_sub(self.reach());
        let end = &text.as_bytes()[from..];
        if let Some(Found { at, secret }) = self.begun(&View::of(end), MASK_LAYERS, end.len()) {
            found.push(Found { at: from + at.start..text.len(), secret });
        }
        self.text_without(text, &merged(found))
    }

    /// The bytes without secrets; they need not be text.
    pub fn mask_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        self.without(bytes, &self.find(bytes))
    }

    /// The text with asterisks over secrets: of the same length and with the same lines, so that places in it stay what they are.
    pub fn covered<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let found = self.find(text.as_bytes());
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut covered = text.as_bytes().to_vec();
        for byte in found.into_iter().flat_map(|found| found.at) {
            if covered[byte] != b'\n' {
                covered[byte] = b'*';
            }
        }
        let ascii = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '*' };
        // one that begins or ends inside of a character leaves a piece of it
        Cow::Owned(String::from_utf8(covered).unwrap_or_else(|error| error.as_bytes().iter().map(ascii).collect()))
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.needles.is_none()
    }

    /// The longest that a secret can be in any encoding that is looked into.
    pub fn reach(&self) -> usize {
        self.longest * MASK_EXPANSION
    }

    fn text_without<'t>(&self, text: &'t str, found: &[Found]) -> Cow<'t, str> {
        match self.without(text.as_bytes(), found) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
        }
    }

    /// The bytes with names in those places.
    fn without<'t>(&self, bytes: &'t [u8], found: &[Found]) -> Cow<'t, [u8]> {
        if found.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut masked = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for Found { at, secret } in found {
            masked.extend_from_slice(&bytes[from..at.start]);
            masked.extend_from_slice(self.placeholder(*secret).as_bytes());
            from = at.end;
        }
        masked.extend_from_slice(&bytes[from..]);
        Cow::Owned(masked)
    }

    fn placeholder(&self, secret: usize) -> String {
        format!("***{}***", self.names[secret])
    }

    /// The places of secrets in order; where they overlap, they are one.
    fn find(&self, bytes: &[u8]) -> Vec<Found> {
        let mut all = Vec::new();
        if let Some(needles) = &self.needles {
            self.search(needles, (&View::of(bytes), MASK_LAYERS), &mut all);
        }
        merged(all)
    }

    fn search(&self, needles: &AhoCorasick, (view, layers): (&View<'_>, usize), all: &mut Vec<Found>) {
        for hit in needles.find_overlapping_iter(view.bytes()) {
            all.push(Found { at: view.origin(hit.range()), secret: self.owners[hit.pattern().as_usize()] });
        }
        if layers > 0 {
            self.decoder.each(view, &mut |inner| self.search(needles, (inner, layers - 1), all));
        }
    }

    /// A secret that begins and does not end before the end of the text, which has so many bytes.
    fn begun(&self, view: &View<'_>, layers: usize, end: usize) -> Option<Found> {
        let mut earliest = self.begun_in(view, end);
        if layers > 0 {
            let decoder = Decoder { shortest: MASK_CUT_BYTES, ..self.decoder.clone() };
            decoder.each(view, &mut |inner| {
                let inner = self.begun(inner, layers - 1, end);
                let before = earliest.as_ref().map_or(usize::MAX, |found| found.at.start);
                if let Some(inner) = inner.filter(|inner| inner.at.start < before) {
                    earliest = Some(inner);
                }
            });
        }
        earliest
    }

    fn begun_in(&self, view: &View<'_>, end: usize) -> Option<Found> {
        let bytes = view.bytes();
        // The text may end inside of an escape.
        let is_escape = |last: usize| bytes.get(last).is_none_or(|byte| matches!(byte, b'%' | b'\\'));
        let reaches = |last: usize| view.origin(last - 1..last).end + MASK_CUT_ESCAPE_BYTES >= end;
        let ends = (bytes.len().saturating_sub(MASK_CUT_ESCAPE_BYTES)..=bytes.len()).rev();
        let ends = ends.filter(|last| *last >= MASK_CUT_BYTES && is_escape(*last) && reaches(*last));
        let begun = ends.flat_map(|last| {
            self.texts.iter().zip(&self.owners).filter_map(move |(needle, owner)| {
                // A whole one was found as such.
                let longest = (needle.len() - 1).min(last);
                let length =
                    (MASK_CUT_BYTES..=longest).rev().find(|length| bytes[..last].ends_with(&needle[..*length]))?;
                Some(Found { at: view.origin(last - length..last).start..end, secret: *owner })
            })
        });
        begun.min_by_key(|found| found.at.start)
    }
}

/// Places in order; where they overlap, they are one.
fn merged(mut all: Vec<Found>) -> Vec<Found> {
    all.sort_by_key(|found| (found.at.start, std::cmp::Reverse(found.at.end)));
    let mut merged: Vec<Found> = Vec::new();
    for found in all {
        match merged.last_mut() {
            Some(last) if found.at.start < last.at.end => last.at.end = last.at.end.max(found.at.end),
            _ => merged.push(found),
        }
    }
    merged
}

fn check(name: &str, value: &str) -> Result<(), MaskError> {
    let (name, bytes) = (name.to_owned(), value.len());
    match bytes {
        0..SECRET_LEAST_BYTES => Err(MaskError::TooShort { name, bytes }),
        _ if bytes > SECRET_MOST_BYTES => Err(MaskError::TooLong { name, bytes }),
        _ => Ok(()),
    }
}

/// The secret, and the lines of one that has several: programs print keys and certificates line by line.
fn parts(value: &str) -> Vec<&str> {
    let lines: Vec<&str> = value.lines().map(str::trim).filter(|line| line.len() >= MASKED_LINE_BYTES).collect();
    let mut parts = vec![value];
    if value.trim_end().contains('\n') {
        parts.extend(lines);
    }
    parts
}

/// The text, and what comes of it at those who take UTF-8 for Latin-1, as many servers do with headers, or write it as Latin-1.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let mut spellings = vec![text.as_bytes().to_vec()];
    if text.is_ascii() {
        return spellings;
    }
    let misread: String = text.bytes().map(char::from).collect();
    spellings.push(misread.into_bytes());
    let Some(narrow) = text.chars().map(|letter| u8::try_from(letter).ok()).collect::<Option<Vec<u8>>>() else {
        return spellings;
    };
    // what has hardly a letter that stays one would be found in everything
    if narrow.iter().filter(|byte| byte.is_ascii()).count() >= SECRET_LEAST_BYTES {
        // as whoever expects UTF-8 shows it
        spellings.push(String::from_utf8_lossy(&narrow).into_owned().into_bytes());
        spellings.push(narrow);
    }
    spellings
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("names", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
