//! Record streams that were ordered here, and who applies their records now.
//!
//! A stream whose records have keys may come again: its sender, or this agent, has been replaced, and records that were applied and not
//! answered come once more. So its order is kept, also on disk, and what applied its records before ends before what does now.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshproof_proto::id::Name;
use meshproof_proto::order::{ReceiveOrder, RecordStreamId};
use meshproof_proto::rpc::Refusal;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::limits;

/// Those that have not come to their ends.
#[derive(Debug, Default)]
pub(super) struct Receiving(BTreeMap<RecordStreamId, Ordered>);

#[derive(Debug)]
struct Ordered {
    order: ReceiveOrder,
    /// Ends what applies its records now.
    stop: CancellationToken,
    /// One at a time applies them.
    turn: Arc<Mutex<()>>,
    /// All of them are applied and answered.
    done: CancellationToken,
}

/// A stream that has come.
#[derive(Debug)]
pub(super) struct Came {
    pub order: ReceiveOrder,
    pub stop: CancellationToken,
    pub turn: Arc<Mutex<()>>,
    pub done: CancellationToken,
}

impl Receiving {
    /// With what an instance before this one has left.
    pub(super) fn after(left: BTreeMap<RecordStreamId, ReceiveOrder>, secrets: &Value) -> Self {
        let mut receiving = Self::default();
        for (_, mut order) in left {
            order.apply.put_in_secrets(secrets);
            receiving.insert(order);
        }
        receiving
    }

    /// Waits for a stream. One of the same records that was ordered before is over.
    pub(super) fn take(&mut self, order: ReceiveOrder) -> Result<(), Refusal> {
        self.0.retain(|_, ordered| !ordered.done.is_cancelled());
        let is_there = self.0.contains_key(&order.stream);
        if !is_there && self.0.len() >= limits::RECORD_STREAMS {
            return Err(Refusal::Failed(format!("{} record streams wait here", self.0.len())));
        }
        // A repeated order changes nothing.
        if !is_there {
            self.insert(order);
        }
        Ok(())
    }

    fn insert(&mut self, order: ReceiveOrder) {
        let same = |ordered: &Ordered| order.key.is_some() && ordered.order.key == order.key;
        let before: Vec<Ordered> =
            self.0.extract_if(.., |_, ordered| same(ordered)).map(|(_, before)| before).collect();
        before.iter().for_each(|before| before.stop.cancel());
        let turn = before.into_iter().next().map(|before| before.turn).unwrap_or_default();
        let (stop, done) = (CancellationToken::new(), CancellationToken::new());
        self.0.insert(order.stream, Ordered { order, stop, turn, done });
    }

    /// Somebody opened it. One whose records have no keys comes only once.
    pub(super) fn came(&mut self, from: &Name, id: RecordStreamId) -> Option<Came> {
        let ordered = self.0.get_mut(&id).filter(|ordered| ordered.order.from == *from)?;
        if ordered.order.key.is_none() {
            let Ordered { order, stop, turn, done } = self.0.remove(&id)?;
            return Some(Came { order, stop, turn, done });
        }
        std::mem::take(&mut ordered.stop).cancel();
        let Ordered { order, stop, turn, done } = &*ordered;
        Some(Came { order: order.clone(), stop: stop.clone(), turn: Arc::clone(turn), done: done.clone() })
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::expr::Template;
    use meshproof_proto::id::{Digest, RunId, Term};
    use meshproof_proto::order::{Action, Authority, Target, TcpAction};

    use super::*;

    fn order(stream: u64, key: Option<&str>) -> ReceiveOrder {
        let apply = Action::Tcp(TcpAction { target: Target::plain("a.tcp", ""), send: Template::text("x") });
        let authority = Authority { run: RunId("r".to_owned()), term: Term(1), plan: Digest([0; 32]) };
        let from = "shop".parse().expect("a name");
        ReceiveOrder { authority, stream: RecordStreamId(stream), from, apply, key: key.map(str::to_owned) }
    }

    #[test]
    fn a_stream_with_keys_may_come_again_and_what_applied_it_before_is_told_to_end() {
        let (shop, other) = ("shop".parse().expect("a name"), "other".parse().expect("a name"));
        let mut receiving = Receiving::default();
        for order in [order(1, None), order(2, Some("k"))] {
            receiving.take(order).expect("there is room");
        }
        assert!(receiving.came(&other, RecordStreamId(2)).is_none(), "it is nobody else's");
        assert!(receiving.came(&shop, RecordStreamId(1)).is_some());
        assert!(receiving.came(&shop, RecordStreamId(1)).is_none(), "it comes once");
        let first = receiving.came(&shop, RecordStreamId(2)).expect("ordered");
        let again = receiving.came(&shop, RecordStreamId(2)).expect("it may come again");
        assert!(first.stop.is_cancelled() && !again.stop.is_cancelled() && Arc::ptr_eq(&first.turn, &again.turn));
        receiving.take(order(3, Some("k"))).expect("there is room");
        assert!(again.stop.is_cancelled(), "the same records under another number");
        let third = receiving.came(&shop, RecordStreamId(3)).expect("ordered");
        assert!(Arc::ptr_eq(&third.turn, &first.turn) && receiving.came(&shop, RecordStreamId(2)).is_none());
        third.done.cancel();
        receiving.take(order(4, None)).expect("there is room");
        assert!(receiving.came(&shop, RecordStreamId(3)).is_none(), "it is over");
    }
}
