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

use crate::limits::{MASK_LAYERS, MASKED_LINE_BYTES, SECRET_LEAST_BYTES, SECRET_MOST_BYTES, SECRETS};
use views::{Decoder, View};

/// Finds secrets and puts their names in their place. Its `Debug` form tells names only.
#[derive(Clone)]
pub struct Masker {
    names: Vec<String>,
    /// What is looked for, and whose it is.
    needles: Option<AhoCorasick>,
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
        let mut needles: Vec<&[u8]> = Vec::new();
        let mut owners = Vec::new();
        for (name, value) in secrets {
            check(name, value)?;
            for needle in parts(value) {
                needles.push(needle.as_bytes());
                owners.push(names.len());
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
        let needles = search.map_err(|error| MaskError::Search(error.to_string()))?;
        Ok(Self { names, needles, owners, decoder, longest })
    }

    /// The text without secrets.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.mask_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
        }
    }

    /// The bytes without secrets; they need not be text.
    pub fn mask_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        let found = self.find(bytes);
        if found.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut masked = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for Found { at, secret } in found {
            masked.extend_from_slice(&bytes[from..at.start]);
            masked.extend_from_slice(self.placeholder(secret).as_bytes());
            from = at.end;
        }
        masked.extend_from_slice(&bytes[from..]);
        Cow::Owned(masked)
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.needles.is_none()
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

    fn search(&self, needles: &AhoCorasick, (view, layers): (&View<'_>, usize), all: &mut Vec<Found>) {
        for hit in needles.find_overlapping_iter(view.bytes()) {
            all.push(Found { at: view.origin(hit.range()), secret: self.owners[hit.pattern().as_usize()] });
        }
        if layers > 0 {
            self.decoder.each(view, &mut |inner| self.search(needles, (inner, layers - 1), all));
        }
    }
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

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("names", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
