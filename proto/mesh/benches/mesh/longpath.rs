//! A path of 50 ms, without loss and with 1 %: where one SCTP association is not enough.
//!
//! Each socket holds back what it sends for 25 ms, and loses what is to be lost, so a round trip is 50 ms. The rival is one
//! association of the tuned crate with the same windows, which is what a link would be without stripes.

use std::time::Duration;

use meshproof_mesh::rtc::{MAX_MESSAGE_BYTES, RtcConfig, Wire};
use tokio::time::Instant;

use crate::measure::Spread;
use crate::table::{Goal, Table};
use crate::ways::{Way, tuned};
use crate::world::{Peer, World, leave, loopback, stream};

const ROUNDS: usize = 5;

/// One way.
const DELAY: Duration = Duration::from_millis(25);

/// Length of one transfer, about: long against the slow start of an association.
const AIMED: Duration = Duration::from_secs(3);

/// An association may end so often: more has another reason than a pause.
const ENDS: u32 = 3;

/// Until the stripes of a link that has much to send are there, and have found their speed.
const WARM_UP: Duration = Duration::from_secs(6);

pub async fn run() -> Table {
    let mut table = Table::default();
    let (ours, bare) = goodput(0).await;
    let single = Spread::of_ratios(&ours, &bare);
    let what = "MB/s, 50 ms round trip, no loss, byte stream";
    table.compared(what, Spread::of(&ours), (single, "one association"));
    table.goal(Goal::figure_at_least(Spread::of(&ours).median, 30.0, 80.0));
    table.plain("MB/s, 50 ms round trip, no loss, one association, tuned", Spread::of(&bare));

    let (ours, bare) = goodput(10).await;
    let single = Spread::of_ratios(&ours, &bare);
    let what = "MB/s, 50 ms round trip, 1 % loss, byte stream";
    table.compared(what, Spread::of(&ours), (single, "one association"));
    table.goal(Goal::at_least(single.median, 3.0, 8.0));
    table.plain("MB/s, 50 ms round trip, 1 % loss, one association, tuned", Spread::of(&bare));
    table
}

/// MB/s of our stream and of one association, round by round.
async fn goodput(lost_per_mille: u64) -> (Vec<f64>, Vec<f64>) {
    let world = World::new().await;
    let path = |seed| RtcConfig { wire: Some(Wire { delay: DELAY, lost_per_mille, seed }), ..loopback() };
    let [(a, _a_up), (mut b, _b_up)] = world.linked(path(1)).await;
    let mut ours = striped(&a, &mut b).await;
    let mut bare = Bare { way: tuned(&path(2)).await, path: path(2), ended: 0 };
    let our_volume = ours.volume_of(64 * 1024, AIMED).await.expect("the link heals");
    let volumes = (our_volume, bare.volume().await);
    let (mut our_speeds, mut bare_speeds) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_speeds.push(ours.goodput(64 * 1024, volumes.0).await);
        bare_speeds.push(bare.goodput(volumes.1).await);
    }
    leave(vec![a, b]).await;
    (our_speeds, bare_speeds)
}

/// One association, made again when it ends: it hears nothing for half a minute when this process is stopped, and unlike a link
/// does not heal by itself.
struct Bare {
    way: Way,
    path: RtcConfig,
    ended: u32,
}

impl Bare {
    async fn goodput(&mut self, volume: usize) -> f64 {
        loop {
            match self.way.try_goodput(MAX_MESSAGE_BYTES, volume).await {
                Some(speed) => return speed,
                None => self.make_again().await,
            }
        }
    }

    async fn volume(&mut self) -> usize {
        loop {
            match self.way.volume_of(MAX_MESSAGE_BYTES, AIMED).await {
                Some(volume) => return volume,
                None => self.make_again().await,
            }
        }
    }

    async fn make_again(&mut self) {
        self.ended += 1;
        assert!(self.ended <= ENDS, "an association of the bench's own ended {} times", self.ended);
        eprintln!("was this process stopped? The association is made again, and the round is measured again");
        self.way = tuned(&self.path).await;
    }
}

/// A stream of a link that had enough to send to make its stripes.
async fn striped(from: &Peer, to: &mut Peer) -> Way {
    let (near, far) = stream(from, to).await;
    let mut way = Way::of_streams(near, far);
    let until = Instant::now() + WARM_UP;
    while Instant::now() < until {
        way.goodput(64 * 1024, 1_000_000).await;
    }
    way
}
