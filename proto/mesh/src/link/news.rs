//! What the root keys said, on this link.

use meshproof_proto::frame::ControlFrame;

use super::actor::LinkTask;
use crate::api::Loss;
use crate::context::now_unix;

impl LinkTask {
    /// A peer that is no longer welcome hears why and is left (false), any other one hears all that is known.
    pub(super) async fn news(&mut self) -> bool {
        let admitted = self.around.context.trust.borrow().admits(&self.peer.issued, now_unix());
        let Err(error) = admitted else {
            self.pass_news_on();
            return true;
        };
        self.refuse(error.into()).await;
        false
    }

    /// The peer hears why, and is left.
    pub(super) async fn refuse(&mut self, loss: Loss) {
        let why = loss.to_string();
        for (kind, track) in self.tracks.iter_mut() {
            track.carriers.values().for_each(|carrier| carrier.refuse(kind, &why));
        }
        self.over(loss).await;
    }

    /// What the root keys said so far, if anything.
    fn pass_news_on(&self) {
        let news = self.around.context.trust.borrow().news();
        if !news.is_empty() {
            self.send_if_known(&ControlFrame::News(news));
        }
    }
}
