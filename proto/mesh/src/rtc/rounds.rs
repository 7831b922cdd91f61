//! Rounds of the stack's driver that it would not make by itself.
//!
//! What goes through a TURN server gets one station further in each round of the driver of webrtc 0.21.1: what came reaches the
//! connection after that round's writes, what the connection answers is wrapped for the server in the next, and leaves in the one
//! after. Between two rounds the driver sleeps until something happens; so packets and their acknowledgements waited for a timer or
//! for each other, some 30 ms at every station, and a window was carried in tenths of a second.
//!
//! So whoever sends or receives through such a server asks for the rounds that are missing, and the socket brings an empty datagram
//! for each, of which the stack takes no notice.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Context;

use futures::task::AtomicWaker;

/// From what came to what is answered; what is sent needs one of them.
const MISSING: u8 = 2;

/// The first byte of channel data (RFC 5766, section 11; RFC 8656 uses the lower ones), and the type of a data indication.
const CHANNEL_DATA: std::ops::RangeInclusive<u8> = 0x40..=0x7f;
const DATA_INDICATION: [u8; 2] = [0x00, 0x17];

/// Whether a datagram brings what a TURN server passes on.
pub(super) fn is_of_a_turn_server(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| CHANNEL_DATA.contains(first)) || datagram.starts_with(&DATA_INDICATION)
}

/// The rounds of one connection's driver that are still missing.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Something came from a TURN server.
    relayed: AtomicBool,
    missing: AtomicU8,
    /// The driver takes all that is there in one round: what asks for the next must not be there yet.
    rests: AtomicBool,
    driver: AtomicWaker,
}

impl Rounds {
    /// Something came from a TURN server.
    pub(super) fn came(&self) {
        self.relayed.store(true, Ordering::Release);
        self.missing.store(MISSING, Ordering::Release);
    }

    /// Something was handed to the driver to be sent.
    pub(super) fn sent(&self) {
        if self.relayed.load(Ordering::Acquire) {
            self.missing.store(MISSING, Ordering::Release);
            self.driver.wake();
        }
    }

    /// Whether an empty datagram is to begin a round now. If not, `context` is woken when one is.
    pub(super) fn begins(&self, context: &Context<'_>) -> bool {
        // most connections go through no such server, and pay nothing
        if !self.relayed.load(Ordering::Acquire) {
            return false;
        }
        self.driver.register(context.waker());
        if self.missing.load(Ordering::Acquire) == 0 {
            return false;
        }
        if self.rests.swap(false, Ordering::AcqRel) {
            context.waker().wake_by_ref();
            return false;
        }
        let taken = self.missing.fetch_update(Ordering::AcqRel, Ordering::Acquire, |missing| missing.checked_sub(1));
        self.rests.store(true, Ordering::Release);
        taken.is_ok()
    }
}
