//! How much of what a stripe was given may be unacknowledged.
//!
//! What waits in the queue of one stripe was taken from the others, and everybody waits for it when that stripe is slow: one
//! that lost a packet delivers little for some time. So each has no more on its way than its path delivered in two round trips of
//! late, and takes the next piece when it has room, whatever the others do. A path that could deliver more shows it within a
//! round trip, because twice of what it delivered may be on its way.

use std::time::{Duration, Instant};

use meshproof_proto::limits::{
    STREAM_CHUNK_BYTES, STRIPE_CHUNK_BYTES, STRIPE_LEAST_BYTES, STRIPE_LOOK, STRIPE_SEND_BYTES,
};
use meshproof_proto::links::LinkPath;

/// Round trips whose best counts: one in which a packet was lost says little about the path.
const REMEMBERED: usize = 4;

/// How much a path takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// As much as the sockets at its ends hold, which tell each other.
    Wide,
    /// What the sockets of a TURN server hold, whatever those at the ends do: coturn asks for 64 KiB each, 56 packets as the kernel
    /// counts them. SCTP doubles what it has on its way until something is lost: here that were hundreds of packets at once, and
    /// it stands still for seconds while it sends them again.
    Narrow,
}

impl Width {
    pub(super) fn of(path: Option<LinkPath>) -> Self {
        match path {
            Some(LinkPath::Turn) => Self::Narrow,
            Some(LinkPath::Direct | LinkPath::Relayed) | None => Self::Wide,
        }
    }

    /// Data of one frame at most.
    pub(super) const fn piece(self) -> usize {
        match self {
            Self::Wide => STREAM_CHUNK_BYTES,
            Self::Narrow => STRIPE_CHUNK_BYTES as usize,
        }
    }

    /// What its round trips are counted by where nobody measures them: its bound is the same however quick it is.
    pub(super) const fn span(self) -> Option<Duration> {
        match self {
            Self::Wide => None,
            Self::Narrow => Some(STRIPE_LOOK),
        }
    }

    /// The most that may be unacknowledged when the next piece is given.
    const fn most(self) -> u64 {
        match self {
            Self::Wide => STRIPE_SEND_BYTES as u64,
            Self::Narrow => STRIPE_LEAST_BYTES,
        }
    }
}

/// What one stripe has on its way.
#[derive(Debug)]
pub(super) struct Ahead {
    width: Width,
    given: u64,
    limit: u64,
    /// Since when the present span is measured, and what was delivered by then.
    span: Option<(Instant, u64)>,
    /// In the present span there was more to send than might be on its way.
    held: bool,
    /// What was delivered in each of the last round trips.
    delivered: [u64; REMEMBERED],
    turn: usize,
}

impl Ahead {
    pub(super) fn new(width: Width) -> Self {
        Self {
            width,
            given: 0,
            limit: STRIPE_LEAST_BYTES,
            span: None,
            held: false,
            delivered: [0; REMEMBERED],
            turn: 0,
        }
    }

    pub(super) fn width(&self) -> Width {
        self.width
    }

    /// So many bytes were given to the stripe.
    pub(super) fn give(&mut self, bytes: usize) {
        self.given += bytes as u64;
    }

    /// Whether the next piece may be given, as so many bytes of the former ones are unacknowledged.
    pub(super) fn has_room(&mut self, unacknowledged: usize, round_trip: Duration, now: Instant) -> bool {
        let delivered = self.given.saturating_sub(unacknowledged as u64);
        match self.span {
            None => self.span = Some((now, delivered)),
            Some((since, before)) => {
                let lasted = now.saturating_duration_since(since);
                if lasted >= round_trip {
                    let share = round_trip.as_secs_f64() / lasted.as_secs_f64();
                    self.learn((delivered.saturating_sub(before) as f64 * share) as u64);
                    self.span = Some((now, delivered));
                }
            }
        }
        let room = (unacknowledged as u64) < self.limit;
        self.held |= !room;
        room
    }

    /// A round trip in which it had nothing to wait for says what there was to send, not what the path can do.
    fn learn(&mut self, delivered: u64) {
        if std::mem::take(&mut self.held) {
            self.delivered[self.turn] = delivered;
            self.turn = (self.turn + 1) % REMEMBERED;
        }
        let best = self.delivered.iter().copied().max().unwrap_or_default().max(delivered);
        self.limit = (2 * best).clamp(STRIPE_LEAST_BYTES, self.width.most());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const PIECE: usize = 16 * 1024;
    const ROUND_TRIP: Duration = Duration::from_millis(50);

    /// A path that acknowledges so many bytes a millisecond, a round trip after they were given, to a stripe that always has more.
    struct Path {
        ahead: Ahead,
        start: Instant,
        /// When each millisecond's bytes are acknowledged.
        acknowledged_at: VecDeque<(u64, usize)>,
        waiting: usize,
        unacknowledged: usize,
        delivered: usize,
    }

    impl Path {
        fn new(width: Width) -> Self {
            let (ahead, start) = (Ahead::new(width), Instant::now());
            Self { ahead, start, acknowledged_at: VecDeque::new(), waiting: 0, unacknowledged: 0, delivered: 0 }
        }

        fn at(&mut self, millisecond: u64, bytes_a_millisecond: usize) {
            while let Some((_, bytes)) = self.acknowledged_at.pop_front_if(|(at, _)| *at <= millisecond) {
                self.unacknowledged -= bytes;
                self.delivered += bytes;
            }
            let now = self.start + Duration::from_millis(millisecond);
            while self.ahead.has_room(self.unacknowledged, ROUND_TRIP, now) {
                self.ahead.give(PIECE);
                self.unacknowledged += PIECE;
                self.waiting += PIECE;
            }
            let leaves = self.waiting.min(bytes_a_millisecond);
            self.waiting -= leaves;
            self.acknowledged_at.push_back((millisecond + ROUND_TRIP.as_millis() as u64, leaves));
        }
    }

    #[test]
    fn a_path_is_filled_and_little_more_than_that_waits() {
        for bytes_a_millisecond in [300, 1_000, 3_000, 4_500] {
            let mut path = Path::new(Width::Wide);
            (0..1_000).for_each(|millisecond| path.at(millisecond, bytes_a_millisecond));
            let before = path.delivered;
            let mut most = 0;
            for millisecond in 1_000..2_000 {
                path.at(millisecond, bytes_a_millisecond);
                most = most.max(path.unacknowledged);
            }
            let delivered = path.delivered - before;
            assert!(delivered * 100 >= bytes_a_millisecond * 1_000 * 97, "{bytes_a_millisecond}: {delivered}");
            let fills = bytes_a_millisecond * 50;
            let bound = (2 * fills).max(STRIPE_LEAST_BYTES as usize) + PIECE + fills / 10;
            assert!(most <= bound, "{bytes_a_millisecond}: {most} unacknowledged, {bound} at most");
        }
    }

    #[test]
    fn a_path_that_becomes_slow_soon_holds_less_and_one_that_becomes_quick_is_filled_again() {
        let mut path = Path::new(Width::Wide);
        (0..1_000).for_each(|millisecond| path.at(millisecond, 4_000));
        assert!(path.unacknowledged > 300_000, "{}", path.unacknowledged);
        (1_000..4_000).for_each(|millisecond| path.at(millisecond, 200));
        assert!(path.unacknowledged <= STRIPE_LEAST_BYTES as usize + PIECE, "{}", path.unacknowledged);
        (4_000..4_500).for_each(|millisecond| path.at(millisecond, 4_000));
        assert!(path.unacknowledged > 300_000, "{}", path.unacknowledged);
    }

    #[test]
    fn over_a_turn_server_no_more_is_on_its_way_than_its_sockets_hold_however_quick_it_is() {
        /// What the kernel counts of a full packet, and what coturn has it hold.
        const PACKET: (usize, usize) = (1_191, 2_304);
        const SOCKET: usize = 2 * 64 * 1024;
        let mut path = Path::new(Width::Narrow);
        let mut most = 0;
        for millisecond in 0..2_000 {
            path.at(millisecond, 100_000);
            most = most.max(path.unacknowledged);
        }
        assert!(path.delivered > 0 && most.div_ceil(PACKET.0) * PACKET.1 <= SOCKET, "{most} bytes");
        assert!(Width::Narrow.piece() <= PIECE, "or there would be more");
    }

    #[test]
    fn a_stripe_that_had_little_to_send_has_learned_nothing_of_its_path() {
        let mut path = Path::new(Width::Wide);
        (0..1_000).for_each(|millisecond| path.at(millisecond, 4_000));
        let (limit, now) = (path.ahead.limit, path.start + Duration::from_secs(60));
        assert!(path.ahead.has_room(0, ROUND_TRIP, now), "after a pause");
        assert_eq!(path.ahead.limit, limit);
    }
}
