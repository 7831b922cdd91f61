//! Masks what comes in pieces. A secret, however it is cut, is never let through in parts.

use super::views::View;
use super::{Found, Masker};
use crate::limits::{MASK_LAYERS, MASK_STREAM_BYTES};

/// Bytes go in in pieces of any size, masked bytes come out, a little later.
#[derive(Debug)]
pub struct MaskStream<'m> {
    masker: &'m Masker,
    /// The first `told` bytes have come out already; they are kept because what follows may be the rest of an escape.
    kept: Vec<u8>,
    told: usize,
    /// So many bytes after those are part of a secret whose name has come out.
    covered: usize,
}

impl Masker {
    /// For a log or another stream.
    pub fn stream(&self) -> MaskStream<'_> {
        MaskStream { masker: self, kept: Vec::new(), told: 0, covered: 0 }
    }
}

impl MaskStream<'_> {
    /// Takes a piece, and gives what can be told now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.masker.is_empty() {
            return piece.to_vec();
        }
        self.kept.extend_from_slice(piece);
        let reach = self.masker.reach();
        // In larger steps, so that every byte is looked at a few times only.
        if self.kept.len() - self.told < MASK_STREAM_BYTES + 2 * reach {
            return Vec::new();
        }
        // A secret that begins before here is here as a whole.
        let border = self.kept.len() - reach;
        self.tell_through(border)
    }

    /// Everything but what could be the beginning of a secret: for who waits for what was said so far.
    pub fn flush(&mut self) -> Vec<u8> {
        let reach = self.masker.reach();
        let from = self.kept.len().saturating_sub(reach);
        let end = &self.kept[from..];
        let begun = self.masker.begun(&View::of(end), MASK_LAYERS, end.len());
        let border = begun.map_or(self.kept.len(), |found| from + found.at.start);
        // What was told stays told.
        self.tell_through(border.max(self.told))
    }

    fn tell_through(&mut self, border: usize) -> Vec<u8> {
        let told = self.tell(border);
        let forgotten = border.saturating_sub(self.masker.reach());
        self.kept.drain(..forgotten);
        self.told = border - forgotten;
        told
    }

    /// The end of the stream: everything that is left.
    pub fn finish(mut self) -> Vec<u8> {
        self.tell(self.kept.len())
    }

    /// Everything up to the border that was not told.
    fn tell(&mut self, border: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut from = (self.told + self.covered).min(border);
        self.covered = (self.told + self.covered).saturating_sub(border);
        for Found { at, secret } in self.masker.find(&self.kept) {
            if at.start >= border {
                break;
            }
            if at.end > from {
                if at.start >= from {
                    out.extend_from_slice(&self.kept[from..at.start]);
                    out.extend_from_slice(self.masker.placeholder(secret).as_bytes());
                }
                from = at.end.min(border);
            }
            self.covered = self.covered.max(at.end.saturating_sub(border));
        }
        out.extend_from_slice(&self.kept[from..border]);
        out
    }
}
