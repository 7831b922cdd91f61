//! Tokens that end while their peers are in the mesh. A session lives no longer than the token that it was made with: either end of a
//! link looks at both tokens, so that it takes one honest clock and nobody's help.

use meshproof_proto::limits::TOKENS_LOOK;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::Node;
use crate::api::Loss;
use crate::context::now_unix;
use crate::link::{Command, Link};

/// When tokens are looked at.
pub(super) fn looks() -> Interval {
    // whoever joins has just been looked at
    let mut looks = interval_at(Instant::now() + TOKENS_LOOK, TOKENS_LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

impl Node {
    /// Links end whose peer's token ended; all of them, if it is our own.
    pub(super) async fn look_at_tokens(&mut self) {
        if let Err(error) = self.context.check(&self.context.chain) {
            if !self.tables.links.is_empty() {
                tracing::error!(%error, "this peer is no longer welcome; its links end");
            }
            self.tell_links(|| Command::Refuse(Loss::NotAdmitted(error.clone())));
            return;
        }
        let ended: Vec<Link> = {
            let (trust, now) = (self.context.trust.borrow(), now_unix());
            let links = self.tables.links.iter();
            links.filter(|link| trust.admits(&link.issued, now).is_err()).map(|link| link.value().clone()).collect()
        };
        for link in ended {
            link.tell(Command::News, &self.context.tasks);
        }
        self.forget_unwelcome().await;
    }
}
